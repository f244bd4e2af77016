#include "herd/translate.hpp"

#include "support/catch.hpp"

using namespace herd;

TEST_CASE("an announcement becomes a sighting for the fleet, unknown numbers stay unknown")
{
    discovery::Sighting sighting;
    sighting.arrival.from = *base::Endpoint::parse("10.0.0.7:40000");
    sighting.header.sender_id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    sighting.header.boot_id = 5;
    sighting.header.state = 1;
    sighting.header.api_port = 11436;
    sighting.doubts = discovery::doubt::new_boot | discovery::doubt::address_changed;
    discovery::Announce announce;
    announce.host = discovery::Host{.cores_logical = 8, .ram_total_mib = 1024};
    sighting.body = announce;
    const auto event = app::event_of(sighting);
    const auto* seen = std::get_if<fleet::NodeSeen>(&event);
    REQUIRE(seen != nullptr);
    CHECK(seen->announced == fleet::AnnouncedState::ready);
    CHECK(seen->doubt == fleet::Doubt::new_boot);
    REQUIRE(seen->host);
    CHECK(seen->host->cores == 8);
    CHECK(seen->host->memory_total == base::gib);
    CHECK_FALSE(seen->host->cpu_busy.has_value());
    CHECK(seen->agent_port == 11436);
    CHECK_FALSE(seen->in_flight.has_value());
}

TEST_CASE("a datagram that asks for unicast elsewhere is answered there")
{
    discovery::Sighting sighting;
    sighting.arrival.from = *base::Endpoint::parse("10.0.0.7:40000");
    sighting.header.udp_port = 40001;
    sighting.body = discovery::Announce{};
    const auto event = app::event_of(sighting);
    CHECK(std::get<fleet::NodeSeen>(event).source.port == 40001);
}

TEST_CASE("a LEAVE says why in words")
{
    discovery::Sighting sighting;
    sighting.header.type = discovery::Type::leave;
    sighting.header.boot_id = 9;
    sighting.body = discovery::Leave{.reason = 2};
    const auto event = app::event_of(sighting);
    const auto* left = std::get_if<fleet::NodeLeft>(&event);
    REQUIRE(left != nullptr);
    CHECK(left->boot_id == 9);
    CHECK(left->reason == "restarting");
}

TEST_CASE("a document's models get look-up keys, rows stay verbatim")
{
    discovery::NodeDocument document;
    document.models.push_back({.name = "LLaMA3:8B", .digest = "d", .size = 1, .row = R"({"name":"LLaMA3:8B"})"});
    const auto facts = app::facts_of(document);
    REQUIRE(facts.models.size() == 1);
    CHECK(facts.models[0].key == "registry.ollama.ai/library/llama3:8b");
    CHECK(facts.models[0].row == R"({"name":"LLaMA3:8B"})");
    CHECK_FALSE(facts.models[0].remote);
}

TEST_CASE("a copy of a cloud's model is told from its row when the document arrives, whatever it is called")
{
    discovery::NodeDocument document;
    document.models.push_back({.name = "assistant", .row = R"({"name":"assistant","remote_model":"gpt-oss:120b","remote_host":"https://ollama.com:443"})"});
    document.models.push_back({.name = "own", .row = R"({"name":"own","remote_model":"","remote_host":""})"});
    const auto facts = app::facts_of(document);
    REQUIRE(facts.models.size() == 2);
    CHECK(facts.models[0].remote);
    CHECK_FALSE(facts.models[1].remote);
}

TEST_CASE("a document's settings, disk and ailing GPUs reach the fleet")
{
    discovery::NodeDocument document;
    document.settings = {.keep_alive = "5m", .num_parallel = 2};
    document.disk = {.total = 100 * base::gib, .free = base::gib};
    document.host.memory_pressure = 12.5;
    document.gpus.push_back({.vendor = "nvidia", .throttled = true, .failed = true});
    const auto facts = app::facts_of(document);
    CHECK(facts.settings.keep_alive == "5m");
    CHECK(facts.settings.num_parallel == 2);
    CHECK(facts.disk_free == base::gib);
    CHECK(facts.host.memory_pressure == 12.5);
    CHECK(facts.gpus.at(0).throttled);
    CHECK(facts.gpus.at(0).failed);
}
