// The printers on recorded answers: what a person sees must not change by accident.
#include "herd/cli/print.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;
using namespace std::chrono_literals;

namespace {

template <class Print>
std::string printed(Print&& print, bool colours = false)
{
    std::ostringstream out;
    std::ostringstream err;
    const auto done = print(cli::Terminal{out, err, colours});
    CHECK(done.has_value());
    return out.str();
}

constexpr std::string_view status_body = R"({"version":"0.1.0","uptime_s":97200,
 "nodes":{"total":3,"online":2,"suspect":1,"offline":0,"draining":0,"unreachable":0,"unknown":0},
 "models":{"available":12,"loaded":3},"requests":{"in_flight":2,"queued":1,"total":1204,"failed":3}})";

constexpr std::string_view nodes_body = R"({"nodes":[
 {"id":"0f8fad5b-d9cb-469f-a165-70867728950e","name":"gpu-1","address":"10.0.0.5","url":"http://10.0.0.5:11436","state":"online","state_reason":"",
  "last_seen_ms":420,"latency_ms":0.81,"cpu":{"cores":16,"busy":0.42,"load1":3.1},"memory":{"total_bytes":68719476736,"available_bytes":34359738368},
  "gpus":[{"name":"RTX","vram_total_bytes":25769803776,"vram_free_bytes":12884901888}],"slots":{"total":4,"free":3},"in_flight":1,"queued":2,
  "models":[{"name":"llama3:8b"},{"name":"qwen3:4b"}],"loaded":[{"name":"llama3:8b"}],
  "rates":{"llama3:8b":{"decode_tokens_per_s":64.4,"measured":true},"qwen3:4b":{"decode_tokens_per_s":90,"measured":true}},"source":"lana"},
 {"id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","name":"attic","address":"","url":"http://attic:11434","state":"unreachable","state_reason":"connect refused",
  "last_seen_ms":null,"latency_ms":null,"cpu":{"cores":null,"busy":null,"load1":null},"memory":{"total_bytes":null,"available_bytes":null},
  "gpus":[],"slots":{"total":1,"free":1},"in_flight":0,"queued":0,"models":[],"loaded":[],"rates":{},"source":"static"}]})";

} // namespace

TEST_CASE("herd status is five facts at a glance")
{
    CHECK(printed([](const auto& t) { return app::print_status(status_body, "http://127.0.0.1:11435", t); })
          == "herd 0.1.0 at http://127.0.0.1:11435, up 1 d 3 h\n"
             "  nodes     2 online, 1 suspect\n"
             "  models    12 available, 3 in memory\n"
             "  requests  2 running, 1 waiting; 1204 so far, 3 failed\n");
    CHECK(printed([](const auto& t) {
              return app::print_status("{}", "u", t);
          }).find("No node has been seen yet")
          != std::string::npos);
}

TEST_CASE("herd status tells of a node that everything is sent to, and how it is")
{
    const auto status = [](const std::string& use) {
        const auto body = R"({"nodes":{"total":1,"online":1},"use":[)" + use + "]}";
        return printed([&](const auto& t) { return app::print_status(body, "u", t); });
    };
    CHECK(status(R"({"frontend":"default","node":"box1","state":"offline"})")
              .ends_with("  use       everything is sent to box1, which is offline; `herd use auto` undoes it\n"));
    CHECK(status(R"({"frontend":"team-a","node":"box1","state":"online"})")
              .ends_with("  use       frontend team-a is sent to box1; `herd use auto --frontend team-a` undoes it\n"));
}

TEST_CASE("herd nodes aligns its columns and gives the reason of every bad state")
{
    const std::string text = printed([](const auto& t) { return app::print_nodes(nodes_body, t); });
    CHECK(text
          == "NAME   STATE        ADDRESS                RUNNING  WAITING  CPU   MEMORY FREE          GPU "
             "FREE             MODELS  IN MEMORY  SPEED     LATENCY  SEEN\n"
             "gpu-1  online       http://10.0.0.5:11436  1 of 4   2        42 %  32.0 GiB / 64.0 GiB  12.0 "
             "GiB / 24.0 GiB  2       llama3:8b  64 tok/s  0.8 ms   0.4 s ago\n"
             "attic  unreachable  http://attic:11434     0 of 1                                              "
             "              -                                     never\n"
             "\nattic is unreachable: connect refused\n");
    CHECK(printed([](const auto& t) { return app::print_nodes(nodes_body, t); }, true)
              .find("\x1b[32monline\x1b[0m")
          != std::string::npos);
    CHECK(printed([](const auto& t) {
              return app::print_nodes("{\"nodes\":[]}", t);
          }).find("No node has been seen yet")
          == 0);
}

TEST_CASE("herd nodes shows the ids of nodes that share a name")
{
    constexpr std::string_view body = R"({"nodes":[{"id":"0f8fad5b-d9cb-469f-a165-70867728950e","name":"box1","state":"online"},
        {"id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","name":"Box1","state":"offline","state_reason":"left"},
        {"id":"11111111-7425-40de-944b-e07fc1f90ae7","name":"attic","state":"online"}]})";
    const auto text = printed([&](const auto& t) { return app::print_nodes(body, t); });
    CHECK(text.find("box1 (0f8fad5b)") != std::string::npos);
    CHECK(text.find("Box1 (7c9e6679) is offline: left") != std::string::npos);
    CHECK(text.find("11111111") == std::string::npos);
}

TEST_CASE("herd nodes add says when what was added cannot be used")
{
    const auto added = [](std::string_view body) { return printed([&](const auto& t) { return app::print_added(body, "http://a:1", t); }); };
    CHECK(added(R"({"state":"online","state_reason":""})") == "added http://a:1\n");
    CHECK(added(R"({"state":"unreachable","state_reason":"a:1: connection refused"})")
          == "added http://a:1, but it is unreachable: a:1: connection refused\n");
    CHECK(added(R"({"state":"unknown"})") == "added http://a:1, but it is unknown\n");
}

TEST_CASE("herd models shows where each model is and where it is in memory")
{
    const std::string text = printed([](const auto& t) {
        return app::print_models(R"({"models":[{"name":"llama3:8b","digests":["a","b"],"nodes":[
            {"node":"gpu-1","size":4920753328,"loaded":true,"in_flight":2},{"node":"attic","size":4920753328,"loaded":false,"in_flight":0}]}]})",
                                 t);
    });
    CHECK(text
          == "NAME       SIZE     NODES                 IN MEMORY ON  RUNNING  ON\n"
             "llama3:8b  4.6 GiB  2 (different builds)  gpu-1         2        gpu-1, attic\n");
}

TEST_CASE("herd ps says what ollama ps says, and where")
{
    const base::WallTime now{std::chrono::sys_days{std::chrono::year{2025} / 6 / 1} + 12h};
    const std::string text = printed([&](const auto& t) {
        return app::print_loaded(R"({"models":[
            {"name":"llama3:8b","digest":"365c0bd3c000a25d28ddbf732fe1c6add414de7275464c4e4d1c3b5fcb5d8ad1","size":1000000000,"size_vram":1000000000,
             "context_length":4096,"expires_at":"2025-06-01T14:04:30.123456789+02:00","herd":{"node":"gpu-1"}},
            {"name":"b","digest":"sha256:00112233445566778899","size":1000,"size_vram":250,"expires_at":"2318-01-01T00:00:00Z"},
            {"name":"c","digest":"","size":1000,"size_vram":0,"expires_at":"2025-06-01T11:00:00Z"}]})",
                                 now, t);
    });
    CHECK(text
          == "NAME       ID            SIZE     PROCESSOR        CONTEXT  UNTIL             NODE\n"
             "llama3:8b  365c0bd3c000  954 MiB  100% GPU         4096     4 min from now    gpu-1\n"
             "b          001122334455  1000 B   75%/25% CPU/GPU           forever\n"
             "c                        1000 B   100% CPU                  busy or stopping\n");
}

TEST_CASE("a name from the network cannot command the terminal")
{
    const std::string text = printed([](const auto& t) {
        return app::print_nodes(
            "{\"nodes\":[{\"name\":\"a\\u001b[2Jb\\u0007\\nc\\u009b1m\",\"state\":\"\\u001b]0;x\"}]}", t);
    });
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find('\x07') == std::string::npos);
    CHECK(text.find("a?[2Jb??c?1m") != std::string::npos);
    CHECK(cli::clean(std::string(100, 'x'), 10) == "xxxxxxxxxx…");
    CHECK(cli::clean("grüße", 5) == "grüße");
}

TEST_CASE("answers of other shapes do not break the printers")
{
    for (
        const char* body :
        {"{}", R"({"nodes":5})",
         R"({"nodes":[1,null,"x",[],{"name":[],"gpus":{},"slots":3,"cpu":[],"loaded":"x","state_reason":7}]})",
         R"({"models":[{},{"nodes":[{}],"digests":{}}]})", R"({"uptime_s":-5,"nodes":{"online":-1}})"}) {
        CAPTURE(body);
        printed([&](const auto& t) { return app::print_status(body, "u", t); });
        printed([&](const auto& t) { return app::print_nodes(body, t); });
        printed([&](const auto& t) { return app::print_models(body, t); });
        printed([&](const auto& t) { return app::print_loaded(body, {}, t); });
    }
    std::ostringstream out;
    CHECK_FALSE(app::print_status("404 page not found", "u", {out, out, false}).has_value());
}

TEST_CASE("time stamps are read with fractions and offsets")
{
    CHECK(app::parse_timestamp("1970-01-01T00:00:01Z")->time_since_epoch() == 1s);
    CHECK(app::parse_timestamp("1970-01-01T02:00:00.999-01:30")->time_since_epoch() == 3h + 30min);
    for (const char* bad : {"", "x", "2025-13-01T00:00:00Z", "2025-01-01T24:00:00Z", "2025-01-01T00:00:00",
                            "2025-01-01T00:00:00+1", "2025-01-01"}) {
        CAPTURE(bad);
        CHECK_FALSE(app::parse_timestamp(bad).has_value());
    }
}

TEST_CASE("errors are found in every dialect")
{
    CHECK(app::error_of(R"({"error":"no"})") == "no");
    CHECK(app::error_of(R"({"error":{"message":"no","type":"x"}})") == "no");
    CHECK(app::error_of("<html>").empty());
    CHECK(cli::human_span(59.6) == "59 s");
    CHECK(cli::human_span(3700) == "1 h 1 min");
    CHECK(cli::human_span(-1) == "0 s");
    CHECK(cli::human_bytes(512) == "512 B");
}
