// How a decision is told: golden shape, and what is said of nodes that were left out.
#include "herd/admin/decision_view.hpp"
#include "support/catch.hpp"

#include <limits>

#include <nlohmann/json.hpp>

using namespace herd;
using Json = nlohmann::json;

namespace {

base::NodeId id_of(std::uint8_t number)
{
    return *base::NodeId::parse("00000000-0000-4000-8000-00000000000" + std::to_string(number));
}

fleet::Decision decision()
{
    fleet::Decision made;
    made.model = "llama3.2:3b";
    made.chosen = id_of(1);
    made.prompt_tokens = 1200;
    made.output_tokens = 256.04;
    made.predicted_s = 5.25;
    made.ahead = 2;
    made.candidates = {{.node = id_of(1), .name = "studio", .cost = {.wait_s = 1, .prefill_s = 0.25, .decode_s = 4},
                        .loaded = true, .same_class = true, .free_slots = 1, .slots = 2, .cached_tokens = 1000,
                        .prefill_rate = 800, .decode_rate = 64},
                       {.node = id_of(2), .name = "attic", .exclusion = fleet::Exclusion::no_free_slot,
                        .cost = {.wait_s = 9, .load_s = 3}, .loaded = true, .slots = 1},
                       {.node = id_of(3), .name = "pi\xff", .exclusion = fleet::Exclusion::cannot_fit,
                        .cost = {.load_s = std::numeric_limits<double>::infinity()}}};
    return made;
}

} // namespace

TEST_CASE("a decision names the chosen node and every candidate's seconds")
{
    const auto json = Json::parse(app::admin::decision_json(decision()));
    CHECK(json["chosen"] == "studio");
    CHECK(json["chosen_id"] == id_of(1).text());
    CHECK(json["model"] == "llama3.2:3b");
    CHECK(json["predicted_s"] == 5.25);
    CHECK(json["output_tokens"] == 256.0);
    CHECK(json["ahead"] == 2);
    CHECK_FALSE(json.contains("note"));
    REQUIRE(json["candidates"].size() == 3);
    const auto& first = json["candidates"][0];
    CHECK(first["eligible"] == true);
    CHECK_FALSE(first.contains("reason"));
    CHECK(first["cost"] == Json::parse(R"({"wait_s":1.0,"load_s":0.0,"prefill_s":0.25,"decode_s":4.0,"risk_s":0.0,"total_s":5.25})"));
    CHECK(first["cached_tokens"] == 1000.0);
    CHECK(first["decode_tokens_per_s"] == 64.0);
}

TEST_CASE("a fallback that would run is told as such")
{
    fleet::Decision decision;
    decision.model = "small";
    for (const auto* asked : {"", "small"}) {
        CHECK_FALSE(Json::parse(app::admin::decision_json(decision, asked)).contains("requested_model"));
        CHECK_FALSE(Json::parse(app::admin::decision_json(decision, asked)).contains("fallback"));
    }
    const Json json = Json::parse(app::admin::decision_json(decision, "big"));
    CHECK(json["model"] == "small");
    CHECK(json["requested_model"] == "big");
    CHECK(json["fallback"] == true);
}

TEST_CASE("a node that did not fail lately is called steady, although no risk is none")
{
    const auto trend = [](double risk_s) {
        fleet::Decision one;
        one.candidates.push_back({.cost = {.prefill_s = 1, .decode_s = 4, .risk_s = risk_s}});
        return Json::parse(app::admin::decision_json(one))["candidates"][0]["signals"]["availability_trend"]["says"];
    };
    CHECK(trend(0) == "steady");
    CHECK(trend(0.05) == "steady");
    CHECK(trend(0.5) == "failed or flapped lately");
}

TEST_CASE("the seven familiar signals stand on the terms")
{
    const auto json = Json::parse(app::admin::decision_json(decision()));
    const auto& signals = json["candidates"][0]["signals"];
    CHECK(signals.size() == 7);
    CHECK(signals["queue_depth"] == Json::parse(R"({"s":1.0,"says":"1 of 2 slots free"})"));
    CHECK(signals["thermal"]["says"] == "hot");
    CHECK(signals["wait_time"]["s"] == 0.25);
    CHECK(signals["role_affinity"]["s"] == 4.0);
    CHECK(signals["availability_trend"]["says"] == "steady");
    CHECK(signals["context_fit"]["says"] == "loaded with these options");
    CHECK(json["candidates"][2]["signals"]["memory_fit"]["says"] == "cannot fit");
}

TEST_CASE("only a real chance of failing is told as one")
{
    auto made = decision();
    made.candidates[0].cost.risk_s = 0.01 * 4.25; // what every node has
    const auto says = [&] {
        return Json::parse(app::admin::decision_json(made))["candidates"][0]["signals"]["availability_trend"]["says"].get<std::string>();
    };
    CHECK(says() == "steady");
    made.candidates[0].cost.risk_s = 0.21 * 4.25;
    CHECK(says() == "failed or flapped lately");
    made.candidates[0].cost = {.decode_s = 0.1, .risk_s = 0.02}; // failing over costs two seconds at least
    CHECK(says() == "steady");
    made.candidates[0].cost.risk_s = 0.2;
    CHECK(says() == "failed or flapped lately");
}

TEST_CASE("a dearer choice says why")
{
    auto made = decision();
    made.candidates[0].cost = {.decode_s = 7.06};
    made.candidates[1].cost = {.wait_s = 3, .decode_s = 3.46};
    const auto note = [&] {
        const auto json = Json::parse(app::admin::decision_json(made));
        return json.contains("note") ? json["note"].get<std::string>() : std::string{};
    };
    CHECK(note() == "attic would be done 0.60 s sooner, but has no slot free for 3.00 s: a wait must gain more ([scheduler] wait_margin), or there was enough of it");
    made.candidates[1].cost = {.load_s = 3, .decode_s = 3.46};
    CHECK(note() == "attic would be done 0.60 s sooner, but has to load the model: another copy must gain more ([scheduler] load_margin)");
    made.candidates[1].cost = {.decode_s = 6.46};
    CHECK(note().ends_with("what others there would pay for it, and weights of nodes"));
    made.candidates[1].cost = {.decode_s = 7.05};
    CHECK(note().empty());
    made.candidates[2].cost = {}; // excluded: it costs nothing because it cannot
    CHECK(note().empty());
}

TEST_CASE("a busy node is eligible, an excluded one has a reason and no seconds")
{
    const auto json = Json::parse(app::admin::decision_json(decision()));
    const auto& busy = json["candidates"][1];
    CHECK(busy["eligible"] == true);
    CHECK(busy["cost"]["total_s"] == 12.0);
    const auto& out = json["candidates"][2];
    CHECK(out["eligible"] == false);
    CHECK(out["reason"] == "cannot_fit");
    CHECK(out["cost"]["total_s"].is_null());
    CHECK(out["node"] == "pi\xef\xbf\xbd");
}

TEST_CASE("when nobody is chosen the note says why")
{
    fleet::Decision none;
    none.note = "every node that has it is offline";
    const auto json = Json::parse(app::admin::decision_json(none));
    CHECK(json["chosen"].is_null());
    CHECK(json["chosen_id"].is_null());
    CHECK(json["note"] == "every node that has it is offline");
    CHECK(json["candidates"].empty());
}
