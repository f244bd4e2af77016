// Streams that begin before their answer: what a client hears while it waits, and how the end is told.
#include "world.hpp"

#include "proxy/early_head.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;
using fleet::Result;

namespace {

const std::string chat = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]})";
const std::string token = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
const std::string done = "data: [DONE]\n\n";

Script events() { return {opening("text/event-stream"), chunk(token), chunk(done), end_of_chunks()}; }
Script late(base::Duration delay, Script then)
{
    then.insert(then.begin(), pause(delay));
    return then;
}

ProxyOptions ten_seconds()
{
    ProxyOptions options;
    options.early_head = 10s;
    return options;
}

} // namespace

TEST_CASE("ordinals")
{
    CHECK(ordinal(1) == "1st");
    CHECK(ordinal(2) == "2nd");
    CHECK(ordinal(3) == "3rd");
    CHECK(ordinal(4) == "4th");
    CHECK(ordinal(11) == "11th");
    CHECK(ordinal(12) == "12th");
    CHECK(ordinal(21) == "21st");
    CHECK(ordinal(113) == "113th");
    CHECK(EarlyHead::comment("a\nb") == ": a?b\n\n");
}

TEST_CASE("a queued stream begins after ten seconds and tells its place every ten more")
{
    World w(1, ten_seconds());
    w.books.slots = 0;
    w.books.stands = fleet::Standing{.ahead = 2, .wait_s = 12.2};
    w.node(0).scripts = {events()};
    CHECK(w.post("/v1/chat/completions", chat, {}, 9900ms).empty());
    w.settle(200ms);
    auto got = w.read();
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "Content-Type") == "text/event-stream");
    CHECK(field_of(got, "X-Herd-Request-Id").size() == 15);
    CHECK(field_of(got, "X-Herd-Model") == "m:latest");
    CHECK(field_of(got, "X-Herd-Node").empty());
    CHECK(got.find(": queued 3rd, about 12 s\n\n") != std::string::npos);
    w.books.stands = fleet::Standing{.ahead = 0, .wait_s = 0, .loading = true};
    w.settle(10s);
    CHECK(w.read().find(": loading m:latest\n\n") != std::string::npos);
    w.books.slots = 1;
    w.settle(100ms);
    got = w.read();
    CHECK(got.find(": running on n1\n\n") != std::string::npos);
    CHECK(got.find(token) < got.find(done));
    CHECK(got.ends_with("0\r\n\r\n"));
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "--");
    CHECK(w.records[0].status == 200);
}

TEST_CASE("who waits for a node that is away is told of no place in a line")
{
    World w(1, ten_seconds());
    w.books.slots = 0;
    w.books.stands = fleet::Standing{.wait_s = 20, .held = true};
    CHECK(w.post("/v1/chat/completions", chat, {}, 10100ms).find(": waiting for a node that has m:latest, at most 20 s\n\n") != std::string::npos);
}

TEST_CASE("an error behind an early head has the type and code that it has elsewhere")
{
    const auto told = [](std::string_view path, base::Errc why) {
        World w(1, ten_seconds());
        w.books.slots = 0;
        (void)w.post(path, chat, {}, 10100ms);
        w.books.refusal = fleet::Refusal{{.code = why, .context = "no"}, 5s};
        w.settle(100ms);
        return w.read();
    };
    CHECK(told("/v1/chat/completions", base::Errc::no_node).find(R"({"error":{"message":"no","type":"api_error","param":null,"code":"unavailable"}})") != std::string::npos);
    CHECK(told("/v1/chat/completions", base::Errc::queue_full).find(R"("type":"rate_limit_error","param":null,"code":"busy")") != std::string::npos);
    CHECK(told("/v1/responses", base::Errc::no_node).find(R"({"type":"error","code":"unavailable","message":"no")") != std::string::npos);
    CHECK(told("/v1/messages", base::Errc::no_node).find(R"({"type":"error","error":{"type":"overloaded_error","message":"no"}})") != std::string::npos);
}

TEST_CASE("a fallback that runs behind an early head is named")
{
    World w(1, ten_seconds());
    w.books.instead = "small:1b";
    w.node(0).scripts = {late(12s, events())};
    const auto got =
        w.post("/v1/chat/completions",
               R"({"model":"m","stream":true,"messages":[],"fallback_models":["small:1b"]})", {}, 15s);
    CHECK(starts(got, "200"));
    CHECK(field_of(got, "X-Herd-Model").empty()); // the head left before that was known
    CHECK(got.find(": running small:1b on n1\n\n") != std::string::npos);
    CHECK(w.records.at(0).fallback);
    CHECK(w.records.at(0).model == "small:1b");
}

TEST_CASE("a load is told as such, and a node that fails after the head is replaced unnoticed")
{
    World w(2, ten_seconds());
    w.node(0).scripts = {late(15s, {reset()})};
    w.node(1).scripts = {late(8s, events())};
    auto got = w.post("/v1/chat/completions", chat, {}, 30s);
    CHECK(starts(got, "200"));
    CHECK(got.find(": loading m:latest on n1\n\n") != std::string::npos);
    CHECK(got.find(": loading m:latest on n2\n\n") != std::string::npos);
    CHECK(got.find(": running on n2\n\n") != std::string::npos);
    CHECK(got.find(done) != std::string::npos);
    REQUIRE(w.books.outcomes.size() == 2);
    CHECK(w.books.outcomes[0].result == Result::broken);
    CHECK(w.books.outcomes[1].result == Result::served);
}

TEST_CASE("when everything failed after the head, the stream ends with an error of its dialect")
{
    for (const auto& [path, expected] :
         {std::pair{"/v1/chat/completions", "data: {\"error\":{\"message\":\"the runner died\""}, {"/v1/messages", "event: error\n"}}) {
        World w(1, ten_seconds());
        w.node(0).scripts = {late(12s, answer(500, R"({"error":"the runner died"})"))};
        const auto got = w.post(path, chat, {}, 15s);
        CAPTURE(got);
        CHECK(starts(got, "200"));
        CHECK(got.find(expected) != std::string::npos);
        CHECK(got.find("the runner died") != std::string::npos);
        CHECK(got.ends_with("<end>"));
        CHECK(w.records.at(0).termination == "NH");
        CHECK(w.records.at(0).error == "the runner died");
    }
}

TEST_CASE("a deadline that passes after the head is told in the stream")
{
    auto options = ten_seconds();
    options.queue_timeout = 20s;
    World w(1, options);
    w.books.slots = 0;
    const auto got = w.post("/v1/chat/completions", chat, {}, 21s);
    CHECK(starts(got, "200"));
    CHECK(got.find("data: {\"error\":") != std::string::npos);
    CHECK(got.find(R"("code":"deadline_passed")") != std::string::npos);
    CHECK(w.records.at(0).termination == "TQ");
}

TEST_CASE("a client's mistake that only the node sees is told in the stream")
{
    World w(1, ten_seconds());
    w.node(0).scripts = {late(12s, answer(400, R"({"error":{"message":"bad tool","type":"invalid_request_error"}})"))};
    const auto got = w.post("/v1/chat/completions", chat, {}, 15s);
    CHECK(starts(got, "200"));
    CHECK(got.find(R"("message":"bad tool","type":"invalid_request_error","param":null,"code":"bad_request")") != std::string::npos);
    REQUIRE(w.books.outcomes.size() == 1);
    CHECK(w.books.outcomes[0].status == 400);
    CHECK(w.books.outcomes[0].result == Result::served);
}

TEST_CASE("no head is early for NDJSON or for whole answers")
{
    World w(1, ten_seconds());
    w.node(0).scripts = {late(25s, {opening(), chunk("{\"done\":true}\n"), end_of_chunks()})};
    CHECK(w.post("/api/chat", chat, {}, 24s).empty());
    w.settle(2s);
    CHECK(body_of(w.read()) == "{\"done\":true}\n");
    w.node(0).scripts = {late(25s, answer(200, "{}"))};
    CHECK(w.post("/v1/chat/completions", R"({"model":"m","messages":[]})", {}, 24s).empty());
    w.settle(2s);
    CHECK(starts(w.read(), "200"));
}

TEST_CASE("no head is early when that is off")
{
    World off(1, ProxyOptions{});
    off.node(0).scripts = {late(25s, events())};
    CHECK(off.post("/v1/chat/completions", chat, {}, 24s).empty());
    off.settle(2s);
    CHECK(off.read().find(done) != std::string::npos);
}

TEST_CASE("a client that leaves while it is told of its place leaves the queue")
{
    World w(1, ten_seconds());
    w.books.slots = 0;
    CHECK(starts(w.post("/v1/chat/completions", chat, {}, 11s), "200"));
    w.client.reset();
    w.settle(100ms);
    CHECK(w.books.waiting == 0);
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "CQ");
}
