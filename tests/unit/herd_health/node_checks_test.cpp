#include "world.hpp"

using namespace herd;
using namespace herd::test;
using enum fleet::NodeState;

TEST_CASE("no_nodes fires after 10 s without a routable node")
{
    World w;
    w.pass(8s);
    CHECK(w.quiet("no_nodes"));
    w.pass(6s);
    CHECK(w.one("no_nodes").severity == Severity::critical);
    w.node(1);
    w.see();
    CHECK(w.quiet("no_nodes"));
}

TEST_CASE("node_offline names the node, and after a goodbye only tells it")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.quiet("node_offline"));
    w.node(1).state = offline;
    w.pass(10s);
    const auto silent = w.one("node_offline");
    CHECK(silent.severity == Severity::critical);
    CHECK(silent.node == "n1");
    CHECK(silent.summary.find("10 s ago") != std::string::npos);
    World other;
    other.node(1);
    other.see();
    other.node(1).state = offline;
    other.node(1).state_reason = "left: stopped";
    other.see();
    const auto left = other.one("node_offline");
    CHECK(left.severity == Severity::info);
    CHECK_FALSE(left.costs());
}

TEST_CASE("node_unreachable and ollama_loopback_only are told apart by the gateway")
{
    World w;
    w.node(1).state = unreachable;
    w.see();
    CHECK(w.one("node_unreachable").severity == Severity::critical);
    CHECK(w.quiet("ollama_loopback_only"));
    w.facts(1, [](auto& f) { f.gateway = false; });
    CHECK(w.quiet("node_unreachable"));
    CHECK(w.one("ollama_loopback_only").advice.find("OLLAMA_HOST=0.0.0.0") != std::string::npos);
    w.node(1).state = online;
    CHECK(w.quiet("ollama_loopback_only"));
}

TEST_CASE("node_unreachable advises what helps against the reason that was told")
{
    World w;
    fleet::NodeView& view = w.node(1);
    view.state = unreachable;
    const auto advice = [&](std::string reason) {
        view.state_reason = std::move(reason);
        return w.one("node_unreachable").advice;
    };
    CHECK(advice("TCP 10.0.0.7:11436 does not answer: a firewall on the node? open TCP 11436").starts_with("open TCP 11436 on n1"));
    for (const char* reason : {"the node does not have this fleet's key", "the node serves only herds that hold its fleet key: start herd with the same key",
                               "the node holds another fleet key, or refuses this herd's proof that it holds the same"}) {
        CHECK(advice(reason).starts_with("give herd and n1 the same fleet key"));
    }
    view.source = fleet::NodeSource::configured;
    view.url = "https://box:11434";
    CHECK(advice("connection refused").starts_with("start Ollama at https://box:11434 with OLLAMA_HOST=0.0.0.0"));
    CHECK(advice("https://box:11434/api/version answers with status 401").starts_with("correct the key that n1 is asked with: `bearer`"));
    CHECK(advice("https://box:11434/api/version answers with status 403").starts_with("correct the key"));
    CHECK(advice("its certificate is not accepted: self-signed certificate").starts_with("trust the certificate of n1: `tls.ca_file`"));
    CHECK(advice("the peer does not speak TLS").starts_with("correct the url"));
    fleet::Manner openai;
    openai.api = fleet::NodeApi::openai;
    view.address.manner = std::make_shared<const fleet::Manner>(openai);
    CHECK(advice("connection refused").starts_with("start the server at https://box:11434"));
    fleet::Manner cloud;
    cloud.cloud = true;
    view.address.manner = std::make_shared<const fleet::Manner>(cloud);
    CHECK(advice("connection refused").starts_with("see that this machine reaches https://box:11434"));
}

TEST_CASE("node_unconfigured names what a node lacks")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.quiet("node_unconfigured"));
    fleet::Manner manner;
    manner.lacking = "no key: set OLLAMA_API_KEY";
    w.node(1).address.manner = std::make_shared<const fleet::Manner>(manner);
    w.see();
    CHECK(w.one("node_unconfigured").severity == Severity::warning);
    CHECK(w.one("node_unconfigured").summary == "n1 cannot be used: no key: set OLLAMA_API_KEY");
}

TEST_CASE("node_degraded is about suspects, not about those whose Ollama is down")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.quiet("node_degraded"));
    w.node(1).state = suspect;
    w.see();
    CHECK(w.one("node_degraded").severity == Severity::warning);
    w.now = w.node(1).last_seen + 7s;
    CHECK(datum(w.one("node_degraded"), "missed_heartbeats") == Datum{"missed_heartbeats", std::int64_t{7}});
    CHECK(w.quiet("ollama_down"));
    w.facts(1, [](auto& f) { f.announced = fleet::AnnouncedState::backend_down; });
    w.pass(6s);
    CHECK(w.quiet("node_degraded"));
    CHECK(w.one("ollama_down").severity == Severity::critical);
}

TEST_CASE("ollama_down waits 3 s")
{
    World w;
    w.node(1).state = suspect;
    w.facts(1, [](auto& f) { f.announced = fleet::AnnouncedState::backend_down; });
    w.pass(2s, 1s);
    CHECK(w.quiet("ollama_down"));
    w.pass(3s, 1s);
    CHECK_FALSE(w.quiet("ollama_down"));
}

TEST_CASE("node_flapping counts falls from online within 10 minutes, goodbyes not")
{
    World w;
    w.node(1);
    const auto fall = [&] {
        w.pass(2s);
        w.node(1).state = suspect;
        w.pass(2s);
        w.node(1).state = online;
        w.pass(2s);
    };
    fall();
    fall();
    CHECK(w.quiet("node_flapping"));
    fall();
    CHECK(w.one("node_flapping").summary.find("3 times") != std::string::npos);
    w.pass(11min, 30s);
    CHECK(w.quiet("node_flapping"));
    for (int i = 0; i < 3; ++i) {
        w.pass(2s);
        w.node(1).state = offline;
        w.node(1).state_reason = "left: restarting";
        w.pass(2s);
        w.node(1).state = online;
        w.node(1).state_reason.clear();
    }
    CHECK(w.quiet("node_flapping"));
}

TEST_CASE("clock_skew takes the smallest of several reports")
{
    World w;
    w.node(1);
    w.see();
    const auto hear = [&](base::Duration skew) { w.history.heard({.id = id_of(1), .boot_id = 1, .skew = skew}, w.now); };
    hear(-30s); // one late datagram proves nothing
    hear(-1s);
    hear(-30s);
    CHECK(w.quiet("clock_skew"));
    for (int i = 0; i < 5; ++i) {
        hear(-30s);
    }
    const auto found = w.one("clock_skew");
    CHECK(found.severity == Severity::warning);
    CHECK(found.summary.find("30 s behind") != std::string::npos);
}

TEST_CASE("duplicate_node_id needs boots that alternate, not a restart")
{
    World w;
    w.node(1);
    w.see();
    const auto hear = [&](std::uint64_t boot) { w.history.heard({.id = id_of(1), .boot_id = boot}, w.now); };
    hear(1);
    hear(2);
    hear(2);
    CHECK(w.quiet("duplicate_node_id"));
    hear(1);
    hear(2);
    CHECK(w.one("duplicate_node_id").severity == Severity::critical);
    w.pass(61s);
    CHECK(w.quiet("duplicate_node_id"));
}

TEST_CASE("node_drained reminds without costing points")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.quiet("node_drained"));
    w.node(1).drained_by_operator = true;
    const auto found = w.one("node_drained");
    CHECK_FALSE(found.costs());
    CHECK(found.advice.find("herd resume n1") != std::string::npos);
}

TEST_CASE("sent_to_one_node is critical when that node takes no requests, else a reminder")
{
    World w;
    w.node(1);
    w.node(2);
    w.see();
    CHECK(w.quiet("sent_to_one_node"));
    w.own.sent = {{"default", id_of(1).text()}};
    CHECK(w.one("sent_to_one_node").summary == "everything is sent to n1");
    CHECK_FALSE(w.one("sent_to_one_node").costs());
    for (const auto state : {fleet::NodeState::offline, fleet::NodeState::unreachable, fleet::NodeState::draining}) {
        w.node(1).state = state;
        const auto found = w.one("sent_to_one_node");
        CHECK(found.severity == Severity::critical);
        CHECK(found.summary.starts_with("everything is sent to n1, which is " + std::string{fleet::to_string(state)}));
        CHECK(found.advice == "`herd use auto`, or bring n1 back");
    }
    w.own.sent = {{"team-a", id_of(9).text()}}; // forgotten
    CHECK(w.one("sent_to_one_node").severity == Severity::critical);
    CHECK(w.one("sent_to_one_node").advice.find("herd use auto --frontend team-a") != std::string::npos);
}

TEST_CASE("version_mismatch and version_unknown are about agents")
{
    World w;
    w.node(1);
    CHECK(w.quiet("version_mismatch"));
    CHECK(w.quiet("version_unknown"));
    w.facts(1, [](auto& f) { f.agent_version = "herd-node 0.0.9"; });
    CHECK(w.one("version_mismatch").severity == Severity::warning);
    CHECK(datum(w.one("version_mismatch"), "mismatched_nodes") == Datum{"mismatched_nodes", Names{"n1"}});
    w.facts(1, [](auto& f) { f.agent_version.clear(); });
    CHECK(w.quiet("version_mismatch"));
    CHECK(w.one("version_unknown").severity == Severity::info);
    CHECK(datum(w.one("version_unknown"), "unknown_nodes") == Datum{"unknown_nodes", Names{"n1"}});
    w.node(1).source = fleet::NodeSource::configured;
    CHECK(w.quiet("version_unknown"));
}

TEST_CASE("ollama_outdated warns below 0.19, and tells who is behind the newest")
{
    World w;
    w.facts(1, [](auto& f) { f.ollama_version = "0.33.1"; });
    w.facts(2, [](auto& f) { f.ollama_version = "0.33.0"; });
    CHECK(w.quiet("ollama_outdated"));
    w.facts(2, [](auto& f) { f.ollama_version = "0.30.0"; });
    CHECK(w.one("ollama_outdated").severity == Severity::info);
    w.facts(2, [](auto& f) { f.ollama_version = "0.11.4"; });
    CHECK(w.one("ollama_outdated").severity == Severity::warning);
    w.facts(2, [](auto& f) { f.ollama_version = "0.0.0"; });
    CHECK(w.quiet("ollama_outdated"));
    w.facts(2, [](auto& f) { f.ollama_version = "strange"; });
    CHECK(w.quiet("ollama_outdated"));
}

TEST_CASE("discovery_blocked: an interface, the port, or UDP from a node")
{
    World w;
    w.node(1);
    w.see();
    CHECK(w.quiet("discovery_blocked"));
    w.own.blocked_interfaces = {"eth0: operation not permitted"};
    CHECK(w.one("discovery_blocked").advice.find("--exclude-interface eth0") != std::string::npos);
    w.own.blocked_interfaces.clear();
    w.own.port_heard = false;
    CHECK(w.look("discovery_blocked").size() == 1);
    w.own.port_heard = true;
    w.history.heard({.id = id_of(1), .boot_id = 1, .over_http = true}, w.now);
    CHECK(w.one("discovery_blocked").node == "n1");
    w.history.heard({.id = id_of(1), .boot_id = 1}, w.now);
    CHECK(w.quiet("discovery_blocked"));
}

TEST_CASE("memory_pressure: by what is available, or by who waits for it")
{
    World w;
    w.node(1);
    CHECK(w.quiet("memory_pressure"));
    w.facts(1, [](auto& f) { f.host.memory_available = 4 * base::gib; });
    CHECK(w.one("memory_pressure").severity == Severity::warning);
    w.facts(1, [](auto& f) { f.host.memory_available = base::gib; });
    CHECK(w.one("memory_pressure").severity == Severity::critical);
    w.facts(1, [](auto& f) { f.host = {.memory_total = 64 * base::gib, .memory_available = 30 * base::gib, .memory_pressure = 25}; });
    CHECK(w.one("memory_pressure").summary.find("25 %") != std::string::npos);
    w.node(1).state = offline;
    CHECK(w.quiet("memory_pressure"));
}

TEST_CASE("swap_in_use is info while it rests and a warning when it grows")
{
    World w;
    w.facts(1, [](auto& f) { f.host.swap_used = 256 * base::mib; });
    w.see();
    CHECK(w.quiet("swap_in_use"));
    w.facts(1, [](auto& f) { f.host.swap_used = 8 * base::gib; });
    w.pass(61s, 61s);
    CHECK(w.one("swap_in_use").severity == Severity::warning);
    w.pass(12min, 30s);
    CHECK(w.one("swap_in_use").severity == Severity::info);
}

TEST_CASE("gpu_lost: a failed card, a missing card, a model that fell out of VRAM")
{
    World w;
    w.facts(1, [](auto& f) { f.gpus = {{.name = "A", .vram_total = base::gib}, {.name = "B", .vram_total = base::gib}}; });
    w.load(1, "m:1b", 4096, base::gib, base::gib);
    w.see();
    CHECK(w.quiet("gpu_lost"));
    w.facts(1, [](auto& f) { f.gpus[1].failed = true; });
    CHECK(w.one("gpu_lost").severity == Severity::critical);
    w.facts(1, [](auto& f) { f.gpus.pop_back(); });
    w.see();
    CHECK(w.one("gpu_lost").summary.find("1 of 2") != std::string::npos);
    w.facts(1, [](auto& f) { f.boot_id = 2; }); // a restart may bring fewer cards on purpose
    w.see();
    CHECK(w.quiet("gpu_lost"));
    w.load(1, "m:1b", 32768, 2 * base::gib, base::gib / 2); // a larger context spills: that is no loss
    w.see();
    CHECK(w.quiet("gpu_lost"));
    w.load(1, "m:1b", 4096, base::gib, base::gib);
    w.see();
    w.load(1, "m:1b", 4096, base::gib, 0);
    w.see();
    CHECK(w.one("gpu_lost").model == "m:1b");
}

TEST_CASE("gpu_throttled: by the driver's word or by heat")
{
    World w;
    w.facts(1, [](auto& f) { f.gpus = {{.name = "A", .temperature_c = 70}}; });
    CHECK(w.quiet("gpu_throttled"));
    w.facts(1, [](auto& f) { f.gpus = {{.name = "A", .temperature_c = 84, .throttled = true}}; });
    CHECK(w.one("gpu_throttled").summary.find("84 °C") != std::string::npos);
    w.facts(1, [](auto& f) { f.gpus = {{.name = "A", .temperature_c = 92}}; });
    CHECK_FALSE(w.quiet("gpu_throttled"));
}

TEST_CASE("foreign_traffic: more at the gateway than we sent, for 10 s")
{
    World w;
    w.node(1).in_flight = 1;
    w.see();
    const auto hear = [&](int in_flight) {
        w.history.heard({.id = id_of(1), .boot_id = 1, .in_flight = in_flight}, w.now);
        w.pass(2s);
    };
    for (int i = 0; i < 8; ++i) {
        hear(1);
    }
    CHECK(w.quiet("foreign_traffic"));
    for (int i = 0; i < 8; ++i) {
        hear(3);
    }
    CHECK(w.one("foreign_traffic").summary.find("at least 2") != std::string::npos);
    hear(1);
    CHECK(w.quiet("foreign_traffic"));
}

TEST_CASE("foreign_traffic: a GPU that works for nobody of ours")
{
    World w;
    w.facts(1, [](auto& f) { f.gpus = {{.vram_total = base::gib, .busy = 0.9}}; });
    w.pass(50s);
    CHECK(w.quiet("foreign_traffic"));
    w.pass(14s);
    CHECK(w.one("foreign_traffic").node == "n1");
    w.node(1).in_flight = 1;
    w.pass(2s);
    CHECK(w.quiet("foreign_traffic"));
}

TEST_CASE("underutilized_memory tells of room, VRAM first, and costs nothing")
{
    World w;
    w.node(1);
    CHECK(w.quiet("underutilized_memory"));
    w.facts(1, [](auto& f) { f.host.memory_available = 60 * base::gib; });
    CHECK_FALSE(w.one("underutilized_memory").costs());
    w.facts(1, [](auto& f) { f.gpus = {{.vram_total = 24 * base::gib, .vram_free = 2 * base::gib}}; });
    CHECK(w.quiet("underutilized_memory"));
}

TEST_CASE("disk_low: a node's model disk names what to delete, herd's own names its place")
{
    World w;
    w.facts(1, [](auto& f) {
        f.disk_total = 100 * base::gib;
        f.disk_free = 50 * base::gib;
        f.models = {{.name = "big:70b", .key = "big", .size = 40 * base::gib}, {.name = "small:1b", .key = "small", .size = base::gib}};
    });
    CHECK(w.quiet("disk_low"));
    w.facts(1, [](auto& f) { f.disk_free = 5 * base::gib; });
    CHECK(w.one("disk_low").severity == Severity::warning);
    CHECK(w.one("disk_low").advice.find("big:70b (40.0 GiB)") != std::string::npos);
    w.facts(1, [](auto& f) { f.disk_free = base::gib; });
    CHECK(w.one("disk_low").severity == Severity::critical);
    w.facts(1, [](auto& f) { f.disk_free = 50 * base::gib; });
    w.own.disk_path = "/var/lib/herd";
    w.own.disk_total = 100 * base::gib;
    w.own.disk_free = 5 * base::gib;
    CHECK(w.one("disk_low").summary.find("/var/lib/herd") != std::string::npos);
}

TEST_CASE("decode_degraded compares a node with its own past")
{
    World w;
    w.node(1);
    w.see();
    auto exchange = served();
    for (int hour = 0; hour < 3; ++hour) {
        exchange.timings.eval = 1s; // 50 tokens per second
        w.request(exchange, 25);
        w.now += 1h;
    }
    w.now += 1h;
    w.request(exchange, 25);
    CHECK(w.quiet("decode_degraded"));
    exchange.timings.eval = 3s;
    w.request(exchange, 32);
    CHECK(w.one("decode_degraded").severity == Severity::warning);
    exchange.timings.eval = 6s;
    w.request(exchange, 32);
    CHECK(w.one("decode_degraded").severity == Severity::critical);
}

TEST_CASE("open_join tells of nodes without a key; keyed fleets and lone herds are quiet")
{
    World w;
    w.own.open_join = true;
    CHECK(w.quiet("open_join"));
    w.node(1).facts = nullptr; // it only said that it is there
    CHECK(w.quiet("open_join"));
    w.node(2);
    CHECK(w.one("open_join").severity == Severity::info);
    w.own.open_join = false;
    CHECK(w.quiet("open_join"));
}

TEST_CASE("trace_write_failures counts what was lost in 5 minutes")
{
    World w;
    CHECK(w.quiet("trace_write_failures"));
    w.history.records_lost(w.now, 3);
    CHECK(w.one("trace_write_failures").severity == Severity::warning);
    w.history.records_lost(w.now, 50);
    CHECK(w.one("trace_write_failures").severity == Severity::critical);
    w.now += 6min;
    CHECK(w.quiet("trace_write_failures"));
    w.own.records_error = "database is full";
    CHECK(w.one("trace_write_failures").summary.find("full") != std::string::npos);
}

TEST_CASE("state_not_written says why what is remembered over a restart cannot be written")
{
    World w;
    CHECK(w.quiet("state_not_written"));
    w.own.disk_path = "/var/lib/herd";
    w.own.state_error = "io: cannot write fleet.json (No space left on device)";
    CHECK(w.one("state_not_written").severity == Severity::critical);
    CHECK(w.one("state_not_written").summary.find("No space left on device") != std::string::npos);
    CHECK(w.one("state_not_written").advice.find("/var/lib/herd") != std::string::npos);
}

TEST_CASE("duplicate_node_name: a reinstalled box is told of, two live ones are a warning")
{
    World w;
    w.node(1);
    w.node(2).name = "N1";
    CHECK(w.one("duplicate_node_name").severity == Severity::warning);
    CHECK(w.one("duplicate_node_name").advice.find("--name") != std::string::npos);
    w.fleet.nodes[1].state = fleet::NodeState::offline;
    const auto stale = w.one("duplicate_node_name");
    CHECK_FALSE(stale.costs());
    CHECK(stale.summary == "2 nodes are called n1: 0f8fad5b online, 0f8fad5b offline");
    CHECK(stale.advice.starts_with("`herd nodes remove 0f8fad5b`"));
    w.fleet.nodes[1].name = "other";
    CHECK(w.quiet("duplicate_node_name"));
}

TEST_CASE("herd_overloaded needs three late loops")
{
    World w;
    w.history.late(w.now, 300ms);
    w.history.late(w.now, 900ms);
    CHECK(w.quiet("herd_overloaded"));
    w.history.late(w.now, 300ms);
    CHECK(w.one("herd_overloaded").summary.find("900 ms") != std::string::npos);
    w.now += 6min;
    CHECK(w.quiet("herd_overloaded"));
}

TEST_CASE("vision_backend_missing: models that see, on an Ollama without their runner")
{
    World w;
    const auto row = [](const std::string& name, const std::string& family) {
        return R"({"name":")" + name + R"(","model":")" + name + R"(","size":6000000000,"details":{"parent_model":"","format":"gguf","family":")" + family
            + R"(","families":[")" + family + R"("],"parameter_size":"8.3B","quantization_level":"Q4_K_M"}})";
    };
    w.facts(1, [&](auto& f) {
        f.ollama_version = "0.6.8";
        f.models = {{.name = "qwen2.5vl:7b", .row = row("qwen2.5vl:7b", "qwen25vl")},
                    {.name = "qwen3-vl:8b", .row = row("qwen3-vl:8b", "qwen3vl")},
                    {.name = "gemma3:4b", .row = row("gemma3:4b", "gemma3")},
                    {.name = "llama3.2:3b", .row = row("llama3.2:3b", "llama")}};
    });
    const auto found = w.one("vision_backend_missing");
    CHECK(found.severity == Severity::warning);
    CHECK(found.summary == "Ollama on n1 is 0.6.8 and has no runner for qwen2.5vl:7b, qwen3-vl:8b: that needs 0.12.7");
    CHECK(found.data == std::vector<Datum>{{"cached_model_count", std::int64_t{2}}, {"backend_available", false}, {"needs", std::string{"0.12.7"}}});
    w.facts(1, [](auto& f) { f.ollama_version = "0.12.7"; });
    CHECK(w.quiet("vision_backend_missing"));
    w.facts(1, [](auto& f) { f.ollama_version = "0.0.0"; });
    CHECK(w.quiet("vision_backend_missing"));
}
