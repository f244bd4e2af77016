#include "store/fleet_state.hpp"
#include "store/state_file.hpp"

#include "scratch.hpp"
#include "support/catch.hpp"

#include <sys/stat.h>

using namespace herd;
using namespace std::chrono_literals;
using test::Scratch;

namespace {

const base::WallTime noon{std::chrono::seconds{1'700'000'000}};

store::FleetState example()
{
    base::Rng rng(7);
    store::FleetState state;
    state.saved_at = noon;
    state.nodes.push_back({.id = base::Uuid::random(rng),
                           .name = "gpu-1",
                           .agent = *base::Endpoint::parse("[fe80::1%3]:11436"),
                           .boot_id = UINT64_MAX,
                           .labels = {"eu", "big"},
                           .drained = true,
                           .seen = noon,
                           .left = true});
    state.nodes.push_back({.id = base::Uuid::random(rng),
                           .name = "old \"quoted\"",
                           .agent = *base::Endpoint::parse("10.0.0.7:1"),
                           .seen = noon - 25h});
    state.static_nodes.push_back({.url = "http://attic:11434",
                                  .name = "attic",
                                  .labels = {},
                                  .slots = 4,
                                  .bearer = "secret",
                                  .drained = false,
                                  .dates = base::Dates{noon - 48h, noon - 1h}});
    state.drained_configured.push_back(base::Uuid::random(rng));
    state.models.push_back({state.nodes[0].id, {"llama3.2:3b", "hf.co/x/y:Q4"}});
    return state;
}

} // namespace

TEST_CASE("the saved pool comes back as it was, without what is too old")
{
    const Scratch scratch;
    const std::string path = scratch.file("fleet.json");
    const auto state = example();
    REQUIRE(store::save_fleet_state(path, state));
    const auto loaded = store::load_fleet_state(path, noon);
    CHECK(loaded.warning.empty());
    REQUIRE(loaded.state.nodes.size() == 1);
    const auto& node = loaded.state.nodes[0];
    CHECK(node.id == state.nodes[0].id);
    CHECK(node.name == "gpu-1");
    CHECK(node.agent == state.nodes[0].agent);
    CHECK(node.boot_id == UINT64_MAX);
    CHECK(node.left);
    CHECK(node.labels == std::vector<std::string>{"eu", "big"});
    CHECK(node.drained);
    CHECK(node.seen == noon);
    REQUIRE(loaded.state.static_nodes.size() == 1);
    CHECK(loaded.state.static_nodes[0].bearer == "secret");
    CHECK(loaded.state.static_nodes[0].slots == 4);
    CHECK(loaded.state.static_nodes[0].dates == state.static_nodes[0].dates);
    CHECK(loaded.state.drained_configured == state.drained_configured);
    CHECK(loaded.state.saved_at == noon);
    CHECK(store::load_fleet_state(path, noon - 24h * 30).state.nodes.size()
          == 2); // a clock set back forgets nobody
    CHECK(store::load_fleet_state(path, noon + 24h + 1s).state.nodes.empty());
}

TEST_CASE("the models of the saved nodes come back; files that have none, and those with too many, are told apart")
{
    const auto state = example();
    const std::string text = store::to_json(state);
    const auto read = store::parse_fleet_state(text);
    REQUIRE(read);
    REQUIRE(read->models.size() == 1);
    CHECK(read->models[0].node == state.nodes[0].id);
    CHECK(read->models[0].names == std::vector<std::string>{"llama3.2:3b", "hf.co/x/y:Q4"});

    const auto at = text.find(",\n \"models\"");
    REQUIRE(at != text.npos);
    const auto older = store::parse_fleet_state(text.substr(0, at) + "}"); // as 0.1.0 wrote it at first
    REQUIRE(older);
    CHECK(older->models.empty());
    CHECK(older->nodes.size() == 2);

    auto many = state;
    many.models[0].names.assign(store::model_names_per_node + 1, "m");
    CHECK_FALSE(store::parse_fleet_state(store::to_json(many)).has_value());
    many.models[0].names.assign(1, std::string(store::model_name_bytes + 1, 'm'));
    CHECK_FALSE(store::parse_fleet_state(store::to_json(many)).has_value());
    many.models.assign(17, {state.nodes[0].id, std::vector<std::string>(4000, "m")});
    CHECK_FALSE(store::parse_fleet_state(store::to_json(many)).has_value());
}

TEST_CASE("a file of an older version does not say of a node that it said goodbye")
{
    auto text = store::to_json(example());
    for (const std::string said : {R"("left": true,)", R"("left": false,)"}) {
        const auto at = text.find(said);
        REQUIRE(at != std::string::npos);
        text.erase(at, said.size());
    }
    const auto state = store::parse_fleet_state(text);
    REQUIRE(state);
    CHECK_FALSE(state->nodes[0].left);
    CHECK(state->nodes[0].drained);
}

TEST_CASE("state files are private, and a write leaves nothing behind")
{
    const Scratch scratch;
    const std::string path = scratch.file("fleet.json");
    std::ofstream(path + ".new") << "left by a crash";
    REQUIRE(store::save_fleet_state(path, example()));
    struct ::stat info{};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    CHECK(std::distance(std::filesystem::directory_iterator{scratch.path}, {}) == 1);
    CHECK(store::write_state_file(scratch.file("no/such"), "x").error().code == base::Errc::not_found);
    CHECK(store::read_state_file(path, 10).error().code == base::Errc::too_large);
}

TEST_CASE("a file with a secret is refused for what ails it: not there, a directory, readable by others")
{
    const Scratch scratch;
    const std::string path = scratch.file("key");
    CHECK(store::read_secret_file(path, 10).error().context == "cannot read " + path + ": No such file or directory");
    CHECK(store::read_secret_file(path, 10).error().code == base::Errc::not_found);
    CHECK(store::check_shared_secret_file(path).error().context == "cannot read " + path + ": No such file or directory");
    for (const ::mode_t mode : {0700U, 0755U}) { // a directory is none, whoever may read it
        std::filesystem::create_directory(path);
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        CHECK(store::read_secret_file(path, 10).error().context == "cannot read " + path + ": Is a directory");
        CHECK(store::check_shared_secret_file(path).error().context == "cannot read " + path + ": Is a directory");
        std::filesystem::remove(path);
    }
    std::ofstream(path) << "secret";
    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    CHECK(store::read_secret_file(path, 10).error().context == path + " can be read by others: chmod 600 " + path);
    CHECK(store::check_shared_secret_file(path));
    REQUIRE(::chmod(path.c_str(), 0604) == 0);
    CHECK(store::check_shared_secret_file(path).error().context == path + " can be read by others: chmod 600 " + path);
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    CHECK(store::read_secret_file(path, 10) == "secret");
}

TEST_CASE("no file is an empty pool; a damaged one is set aside with a warning")
{
    const Scratch scratch;
    const std::string path = scratch.file("fleet.json");
    CHECK(store::load_fleet_state(path, noon).warning.empty());
    const std::string good = store::to_json(example());
    for (const std::string& bad : {std::string{}, std::string{"{"}, std::string{"[]"},
                                   good.substr(0, good.size() / 2), std::string{"{\"format\":2}"}}) {
        std::ofstream(path) << bad;
        const auto loaded = store::load_fleet_state(path, noon);
        CHECK(loaded.state.nodes.empty());
        CHECK(loaded.warning.find("set aside") != std::string::npos);
        CHECK_FALSE(std::filesystem::exists(path));
        CHECK(test::content_of(path + ".bad") == bad);
    }
}

TEST_CASE("a member of the wrong type makes the whole file malformed")
{
    const std::string good = store::to_json(example());
    REQUIRE(store::parse_fleet_state(good));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const auto at = text.find(from);
        REQUIRE(at != std::string::npos);
        return store::parse_fleet_state(text.replace(at, from.size(), to));
    };
    CHECK_FALSE(with("\"drained\": true", "\"drained\": 1").has_value());
    CHECK_FALSE(with("\"gpu-1\"", "5").has_value());
    CHECK_FALSE(with("[fe80::1%3]:11436", "nowhere").has_value());
    CHECK_FALSE(with("18446744073709551615", "18446744073709551616").has_value());
    CHECK_FALSE(with("\"labels\"", "\"lables\"").has_value());
    CHECK_FALSE(with("\"eu\"", "{}").has_value());
    CHECK_FALSE(with("\"created_us\": ", "\"created_us\": -").has_value());
    CHECK_FALSE(with("\"updated_us\": ", "\"updated_us\": 9999").has_value());
    CHECK_FALSE(with("\"updated_us\"", "\"updated\"").has_value());
    const auto older = with("\"created_us\"", "\"made_us\"");
    REQUIRE(older.has_value());
    CHECK_FALSE(older->static_nodes[0].dates);
    CHECK_FALSE(with("\"llama3.2:3b\"", "7").has_value());
}
