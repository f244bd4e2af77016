#include "discovery/node_document.hpp"

#include "support/catch.hpp"
#include "vectors.hpp"

using namespace herd;
using namespace herd::discovery;

namespace {

NodeDocument sample()
{
    NodeDocument doc;
    doc.sender_id = vectors::node_id;
    doc.boot_id = vectors::boot_id;
    doc.seq = 42;
    doc.state = State::ready;
    doc.state_rev = 7;
    doc.name = "gpu-box-1";
    doc.agent_version = "herd-node 0.1.0";
    doc.ollama_version = "0.31.2";
    doc.api_port = 11436;
    doc.agent_port = 11436;
    doc.labels = {"eu", "big"};
    doc.tls_pin.emplace().fill(0xA5);
    doc.addresses = {{*base::IpAddress::parse("192.168.7.2"), 24}, {*base::IpAddress::parse("fd00::7"), 64}};
    doc.host.cores_logical = 32;
    doc.host.cores_physical = 16;
    doc.host.cpu_busy = 0.125;
    doc.host.load1 = 2.1;
    doc.host.memory_total = 128 * base::gib;
    doc.host.memory_available = 96 * base::gib;
    doc.host.swap_used = 0;
    doc.host.temperature_c = 61.5;
    doc.host.cpu = "AMD EPYC 7B13";
    doc.host.arch = "x86_64";
    GpuFacts gpu;
    gpu.vendor = "nvidia";
    gpu.name = "RTX 4090";
    gpu.vram_total = 24 * base::gib;
    gpu.vram_free = 11 * base::gib;
    gpu.busy = 0.37;
    gpu.temperature_c = 54.0;
    gpu.power_w = 182.0;
    gpu.power_limit_w = 450.0;
    gpu.memory_gb_per_s = 1008;
    doc.gpus = {gpu};
    ModelFacts model;
    model.name = "llama3.2:3b";
    model.digest = "a80c4f17acd5";
    model.size = 2019393189;
    model.modified_at = "2026-01-01T10:00:00.5+01:00";
    model.row = R"({ "name":"llama3.2:3b","x":[1,{"y":"a\"}]"}], "z" : 1.50, "u":"\u003c" })";
    doc.models.assign(12, model);
    doc.models[1].row.clear();
    LoadedFacts loaded;
    loaded.name = "llama3.2:3b";
    loaded.size = loaded.size_vram = 100;
    loaded.context_length = 4096;
    loaded.expires_at = "2026-01-01T10:05:00.5+01:00";
    loaded.unload_in_s = 287;
    loaded.slots = 4;
    loaded.in_flight = 1;
    loaded.row = R"({"name":"llama3.2:3b"})";
    doc.loaded = {loaded};
    doc.settings = {.keep_alive = "5m", .num_parallel = 4, .max_loaded_models = 3, .context_length = 8192};
    doc.disk = {.total = 1000 * base::gib, .free = 250 * base::gib};
    doc.slots = 4;
    doc.in_flight = 1;
    doc.tokens_per_s = 87.3;
    return doc;
}

std::string sentence(std::string_view text)
{
    const auto parsed = parse_node_document(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().source == base::Source::node);
    return parsed.error().context;
}

std::string with(std::string text, const std::string& from, const std::string& to)
{
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("a node document survives the way to JSON and back, rows byte for byte")
{
    const auto parsed = parse_node_document(to_json(sample()));
    REQUIRE(parsed);
    CHECK(*parsed == sample());
    NodeDocument least;
    least.sender_id = vectors::node_id;
    least.boot_id = 1;
    least.agent_port = 1;
    CHECK(parse_node_document(to_json(least)).value() == least);
}

TEST_CASE("a disk that fills is news by the percent, a setting at once")
{
    const NodeDocument before = sample();
    NodeDocument now = before;
    *now.disk.free += base::gib;
    CHECK_FALSE(differs_in_stable_part(before, now));
    *now.disk.free -= 20 * base::gib;
    CHECK(differs_in_stable_part(before, now));
    now = before;
    now.settings.keep_alive = "-1";
    CHECK(differs_in_stable_part(before, now));
}

TEST_CASE("members that nobody knows are ignored, and null is as good as nothing")
{
    const std::string text = with(to_json(sample()), "{", R"({"new":{"models":[1]},"state_reason":null,)");
    CHECK(parse_node_document(text).value() == sample());
}

TEST_CASE("wrong types are one sentence each")
{
    const std::string good = to_json(sample());
    CHECK(sentence("") == "node document: not JSON");
    CHECK(sentence("[]") == "node document: the document must be an object");
    CHECK(sentence("{}") == "node document: sender_id is missing");
    CHECK(sentence(with(good, R"("seq":42)", R"("seq":-1)")) == "node document: seq must be a whole number from 0 to 4294967295");
    CHECK(sentence(with(good, R"("seq":42)", R"("seq":4294967296)")).starts_with("node document: seq must be"));
    CHECK(sentence(with(good, R"("seq":42)", R"("seq":1.5)")).starts_with("node document: seq must be"));
    CHECK(sentence(with(good, R"("state":"ready")", R"("state":"odd")")).starts_with("node document: state must be one of"));
    CHECK(sentence(with(good, R"("api_port":11436)", R"("api_port":0)")).find("api_port") != std::string::npos);
    CHECK(sentence(with(good, R"("api_port":11436)", R"("api_port":70000)")).find("api_port") != std::string::npos);
    CHECK(sentence(with(good, R"("gateway":true)", R"("gateway":"yes")")) == "node document: gateway must be true or false");
    const std::string pin = [] {
        std::string hex;
        for (int i = 0; i < 32; ++i) {
            hex += "a5";
        }
        return hex;
    }();
    CHECK(good.find("\"tls_sha256\":\"" + pin + '"') != std::string::npos);
    for (const std::string& wrong : {pin + "a5", std::string{"a5"}, "A5" + pin.substr(2), "g" + pin.substr(1)}) {
        CHECK(sentence(with(good, pin, wrong)) == "node document: tls_sha256 must be 64 hexadecimal digits in lower case");
    }
    CHECK(sentence(with(good, R"("name":"gpu-box-1")", R"("name":"a\nb")")).starts_with("node document: name must be"));
    CHECK(sentence(with(good, R"("eu")", "7")) == "node document: labels[0] must be a string");
    CHECK(sentence(with(good, "192.168.7.2/24", "192.168.7.2")).starts_with("node document: addresses[0] must be"));
    CHECK(sentence(with(good, R"("load1":2.1)", R"("load1":"2")")) == "node document: host.load1 must be a number");
    CHECK(sentence(with(good, R"("size":2019393189)", R"("size":"2")")).starts_with("node document: models[0].size must be"));
    CHECK(sentence(with(good, R"("row":{)", R"("row":7,"old":{)")).starts_with("node document: models[0].row must be"));
    CHECK(sentence(with(good, "0f8fad5b-d9cb-469f-a165-70867728950e", "00000000-0000-0000-0000-000000000000"))
          == "node document: sender_id must be a UUID");
}

TEST_CASE("sizes and depths have limits")
{
    CHECK(parse_node_document(std::string(node_document_bytes_limit + 1, ' ')).error().code == base::Errc::too_large);
    CHECK(sentence(std::string(100000, '[')) == "node document: nested too deeply");
    std::string deep = R"({"new":)" + std::string(60, '[') + std::string(60, ']') + ",";
    CHECK(parse_node_document(with(to_json(sample()), "{", deep)));
    NodeDocument wide = sample();
    wide.labels.assign(65, "x");
    CHECK(sentence(to_json(wide)).starts_with("node document: labels must be an array of at most 64"));
    wide = sample();
    wide.models[0].row = R"({"x":")" + std::string(70000, 'x') + "\"}";
    CHECK(sentence(to_json(wide)).starts_with("node document: models[0].row must be"));
}

TEST_CASE("no prefix and no flipped character of a document crashes or misreads")
{
    const std::string text = to_json(sample());
    for (std::size_t n = 0; n < text.size(); n += 7) {
        CHECK_FALSE(parse_node_document(text.substr(0, n)));
    }
    for (std::size_t i = 0; i < text.size(); i += 3) {
        std::string broken = text;
        broken[i] = static_cast<char>(broken[i] ^ 0x11);
        const auto parsed = parse_node_document(broken);
        if (parsed) {
            CHECK_FALSE(parsed->sender_id.is_nil());
        }
    }
}

TEST_CASE("names that are not UTF-8 do not spoil the document")
{
    NodeDocument doc = sample();
    doc.name = "\xFF\xFE";
    CHECK(parse_node_document(to_json(doc)));
}

TEST_CASE("the datagram says what the document says: vector V3")
{
    const Facts facts = facts_of(sample());
    Announce expected = vectors::full_announce();
    expected.agent.caps = cap::watch;
    expected.load->slots_free = 3;
    expected.gpus[0].uuid_hash = unknown<std::uint32_t>;
    expected.addresses.push_back({*base::IpAddress::parse("fd00::7"), 64});
    expected.herds.clear();
    expected.echo.reset();
    CHECK(facts.announce == expected);
    CHECK(facts.state == State::ready);
    CHECK(facts.state_rev == 7);
    CHECK(header_of(sample()).seq == 42);
}

TEST_CASE("numbers beyond the wire's range stay within it")
{
    NodeDocument doc = sample();
    doc.host.cpu_busy = 7;
    doc.host.load1 = 1e9;
    doc.host.temperature_c = -20;
    doc.host.memory_total = ~base::Bytes{0};
    doc.in_flight = 100000;
    const Facts facts = facts_of(doc);
    CHECK(facts.announce.host->cpu_busy_permille == 1000);
    CHECK(facts.announce.host->load1_x100 == 65534);
    CHECK(facts.announce.host->cpu_temperature_x10 == 0);
    CHECK(facts.announce.host->ram_total_mib == 0xFFFFFFFE);
    CHECK(facts.announce.load->in_flight == 65534);
    CHECK(facts.announce.load->slots_free == 0);
}

TEST_CASE("state_rev stands for models and settings, not for load or the seconds of an expiry")
{
    NodeDocument other = sample();
    other.seq = 99;
    other.in_flight = 3;
    other.host.cpu_busy = 0.9;
    other.gpus[0].vram_free = 1;
    other.loaded[0].expires_at = "2026-01-01T10:05:59.5+01:00";
    other.loaded[0].row = R"({"name":"llama3.2:3b","expires_at":"x"})";
    CHECK_FALSE(differs_in_stable_part(sample(), other));
    other.loaded[0].expires_at = "2026-01-01T10:06:00.5+01:00";
    CHECK(differs_in_stable_part(sample(), other));
    other = sample();
    other.models.pop_back();
    CHECK(differs_in_stable_part(sample(), other));
    other = sample();
    other.state = State::draining;
    CHECK(differs_in_stable_part(sample(), other));
}

TEST_CASE("watch lines, answers and tags survive the way to JSON and back")
{
    const WatchLine line{vectors::boot_id, 8, State::busy, 2};
    CHECK(to_json(line).ends_with("}\n"));
    CHECK(parse_watch_line(to_json(line)).value() == line);
    CHECK_FALSE(parse_watch_line("{}"));
    const AnnounceAnswer answer{vectors::herd_id, 5, 2000, ack_flag::not_approved};
    CHECK(parse_announce_answer(to_json(answer)).value() == answer);
    CHECK_FALSE(parse_announce_answer("[]"));
    CHECK(etag_of(sample()) == "\"1767225600000000-7\"");
}
