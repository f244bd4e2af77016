// Changes of frontends and of nodes' settings, with a real file and a clock of their own.
#include "herd/policy/policy_keeper.hpp"

#include "support/catch.hpp"
#include "support/run.hpp"

#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app;
using What = PolicyChange::What;

namespace {

struct House {
    net::VirtualTime time;
    net::Loop loop;
    FleetOwner owner{loop, {.discovery = false}, base::Rng(1)};
    HerdOptions options;
    std::unique_ptr<PolicyKeeper> keeper;

    House()
    {
        std::string name = (std::filesystem::temp_directory_path() / "herd-keeper-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        options.state_dir = name;
        owner.on_effect([](const fleet::Effect&) {});
        fleet::StaticAdded added{.id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e"), .name = "box", .url = "http://10.0.0.1:1"};
        added.address.endpoint = *base::Endpoint::parse("10.0.0.1:1");
        owner.apply(added);
        start();
    }
    House(const House&) = delete;
    House& operator=(const House&) = delete;
    ~House()
    {
        keeper.reset();
        owner.stop();
        time.run_for(loop, std::chrono::seconds{1});
        std::filesystem::remove_all(options.state_dir);
    }
    /// As after a restart: with what the file says.
    void start()
    {
        auto managed = load_managed(options.state_dir);
        REQUIRE(managed.has_value());
        keeper = std::make_unique<PolicyKeeper>(loop, owner, options, std::move(*managed), base::Uuid{}, [](const auto&, const auto& done) { done(); });
    }
    PolicyAnswer change(What what, const std::string& target, const std::string& body, bool dry_run = false)
    {
        std::optional<PolicyAnswer> answer;
        keeper->change({.what = what, .target = target, .body = body, .dry_run = dry_run}, [&](PolicyAnswer given) { answer = std::move(given); });
        REQUIRE(testing::run_until(loop, [&] { return answer.has_value(); }));
        return std::move(*answer);
    }
    std::string later()
    {
        time.run_for(loop, std::chrono::hours{1});
        return now();
    }
    std::string now() { return base::timestamp(loop.wall()); }
    std::string frontend(const std::string& id) { return keeper->frontend(id).body; }
};

/// What a body tells of dates: "created updated", or nothing.
std::string dates_of(const std::string& body)
{
    const auto json = nlohmann::json::parse(body);
    CHECK(json.contains("created") == json.contains("updated"));
    return json.contains("created") ? json["created"].get<std::string>() + " " + json["updated"].get<std::string>() : "";
}

} // namespace

TEST_CASE("a frontend remembers when it was made and last changed, over restarts")
{
    House house;
    const auto made = house.now();
    CHECK(dates_of(house.change(What::add_frontend, "", R"({"id":"a","hostnames":["a.lan"]})").body) == made + " " + made);
    const auto tag = house.keeper->frontend("a").etag;

    // what changes nothing is no change: the object sent back, dates and all, a try, and a switch to one node
    (void)house.later();
    auto sent_back = nlohmann::json::parse(house.frontend("a"));
    sent_back["created"] = sent_back["updated"] = "2000-01-01T00:00:00.000Z";
    const auto same = house.change(What::put_frontend, "a", sent_back.dump());
    CHECK(same.status == 200);
    CHECK(same.etag == tag);
    CHECK(house.change(What::patch_frontend, "a", R"({"per_minute":5})", true).status == 200);
    CHECK(house.change(What::patch_frontend, "a", R"({"use":"box"})").status == 200);
    CHECK(house.change(What::use, "", R"({"node":"auto","frontend":"a"})").status == 200);
    CHECK(dates_of(house.frontend("a")) == made + " " + made);
    CHECK(house.keeper->frontend("a").etag == tag);

    const auto changed = house.later();
    CHECK(dates_of(house.change(What::patch_frontend, "a", R"({"per_minute":5})").body) == made + " " + changed);
    (void)house.later();
    house.start();
    CHECK(dates_of(house.frontend("a")) == made + " " + changed);
}

TEST_CASE("what stands in herd.toml is as old as the file, until it is changed, and again when the change is taken back")
{
    House house;
    CHECK(dates_of(house.frontend("default")).empty()); // nobody wrote that one
    const base::WallTime written{std::chrono::seconds{1'700'000'000}};
    const std::string of_file = "2023-11-14T22:13:20.000Z";
    house.options.frontends.push_back({.rules = {.id = "f", .name = "f", .hostnames = {"f.lan"}}});
    house.options.nodes.push_back({.name = "box", .labels = {"eu"}, .of_file = true});
    house.options.file_dates = base::Dates{written, written};
    house.start();
    CHECK(dates_of(house.frontend("f")) == of_file + " " + of_file);
    CHECK(house.keeper->node_settings("box").dates == house.options.file_dates);
    const auto tag = house.keeper->frontend("f").etag;
    const auto node_tag = house.keeper->node_settings("box").etag;

    const auto changed = house.later();
    CHECK(dates_of(house.change(What::patch_frontend, "f", R"({"per_minute":5})").body) == of_file + " " + changed);
    CHECK(house.change(What::patch_node, "box", R"({"tier":2})").dates == base::Dates{written, house.loop.wall()});
    CHECK(dates_of(house.change(What::remove_frontend, "f", "").body) == of_file + " " + of_file);
    CHECK(house.change(What::reset_node, "box", "").dates == house.options.file_dates);

    // saved again, with nothing else in it
    house.options.file_dates = base::Dates{house.loop.wall(), house.loop.wall()};
    house.start();
    CHECK(dates_of(house.frontend("f")) == changed + " " + changed);
    CHECK(house.keeper->frontend("f").etag == tag);
    CHECK(house.keeper->node_settings("box").etag == node_tag);
}

TEST_CASE("the settings of a node that nobody configured begin with the first that says something")
{
    House house;
    CHECK(house.keeper->node_settings("box").dates == std::nullopt);
    const auto tag = house.keeper->node_settings("box").etag;
    CHECK(house.change(What::patch_node, "box", R"({"weight":1,"created":"x","updated":null})").dates == std::nullopt);
    (void)house.later();
    const auto made = house.loop.wall();
    CHECK(house.change(What::put_node, "box", R"({"weight":2})").dates == base::Dates{made, made});
    (void)house.later();
    const auto changed = house.loop.wall();
    CHECK(house.change(What::put_node, "box", R"({"weight":2,"tier":1})").dates == base::Dates{made, changed});
    (void)house.later();
    CHECK(house.change(What::put_node, "box", R"({"weight":2,"tier":1})").dates == base::Dates{made, changed});
    house.start();
    CHECK(house.keeper->node_settings("box").dates == base::Dates{made, changed});
    CHECK(house.change(What::reset_node, "box", "").dates == std::nullopt);
    CHECK(house.keeper->node_settings("box").etag == tag);
}
