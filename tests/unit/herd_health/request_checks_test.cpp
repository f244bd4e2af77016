#include "herd/health/steady.hpp"

#include "world.hpp"

using namespace herd;
using namespace herd::test;

TEST_CASE("high_error_rate names the node whose attempts fail, though clients were served elsewhere")
{
    World w;
    w.request(served("n2"), 20);
    CHECK(w.quiet("high_error_rate"));
    auto failed_over = served("n2");
    failed_over.attempts = {{"n1", fleet::Result::failed}, {"n2", fleet::Result::served}};
    w.request(failed_over, 10);
    CHECK(w.quiet("high_error_rate")); // ten attempts prove little
    w.request(failed_over, 12);
    const auto found = w.one("high_error_rate");
    CHECK(found.node == "n1");
    CHECK(found.severity == Severity::critical);
    w.now += 2h;
    CHECK(w.one("high_error_rate").resolved);
}

TEST_CASE("high_error_rate of all requests, disconnects left out")
{
    World w;
    auto left = served();
    left.status = 499;
    left.termination = "CD";
    w.request(left, 50);
    CHECK(w.quiet("high_error_rate"));
    Finished refused;
    refused.status = 503;
    refused.requested = "m:1b";
    w.request(refused, 5);
    const auto found = w.one("high_error_rate");
    CHECK(found.node.empty());
    CHECK(found.severity == Severity::warning);
    refused.status = 502;
    refused.termination = "TQ";
    w.request(refused, 6);
    const auto most = w.one("high_error_rate");
    CHECK(most.advice.starts_with("most (6) ended with 502 TQ (a deadline, in the queue): `herd requests --status failed`"));
    CHECK(datum(most, "top_error") == Datum{"top_error", std::string{"502 TQ"}});
}

TEST_CASE("a route that the Ollamas do not know is no failure, of the node or of the request")
{
    World w;
    auto unknown = served("n1");
    unknown.status = 404;
    unknown.termination = "NH";
    unknown.kind = Finished::Kind::image;
    unknown.attempts = {{"n1", fleet::Result::route_missing}};
    w.request(unknown, 50);
    CHECK(w.quiet("high_error_rate"));
    CHECK(w.quiet("image_generation"));
}

TEST_CASE("an answer that our own limit ended is the request's error, and none of the node's")
{
    World w;
    auto late = served("n1");
    late.termination = "TD";
    late.attempts = {{"n1", fleet::Result::cancelled}};
    w.request(late, 50);
    CHECK(w.one("high_error_rate").node.empty());
}

TEST_CASE("high_retry_rate: retries per request")
{
    World w;
    w.request(served(), 20);
    CHECK(w.quiet("high_retry_rate"));
    auto retried = served("n2");
    retried.attempts = {{"n1", fleet::Result::refused}, {"n2", fleet::Result::served}};
    w.request(retried, 10);
    CHECK(w.one("high_retry_rate").severity == Severity::info);
    w.request(retried, 20);
    CHECK(w.one("high_retry_rate").severity == Severity::warning);
}

TEST_CASE("connection_failures: by node, within 15 minutes")
{
    World w;
    auto retried = served("n2");
    retried.attempts = {{"n1", fleet::Result::refused}, {"n2", fleet::Result::served}};
    w.request(retried, 2);
    CHECK(w.quiet("connection_failures"));
    w.request(retried);
    CHECK(w.one("connection_failures").node == "n1");
    CHECK(w.one("connection_failures").severity == Severity::warning);
    w.request(retried, 10);
    CHECK(w.one("connection_failures").severity == Severity::critical);
    w.now += 20min;
    CHECK(w.quiet("connection_failures"));
}

TEST_CASE("client_disconnects: info, and a warning when they are many")
{
    World w;
    auto left = served();
    left.termination = "CD";
    w.request(served(), 1000);
    w.request(left, 2);
    CHECK(w.quiet("client_disconnects"));
    w.request(left);
    CHECK(w.one("client_disconnects").severity == Severity::info);
    CHECK(datum(w.one("client_disconnects"), "by_model") == Datum{"by_model", CountsByName{{"m:1b", 3}}});
    w.request(left, 30);
    CHECK(w.one("client_disconnects").severity == Severity::warning);
    w.now += 2h;
    CHECK(w.one("client_disconnects").resolved);
}

TEST_CASE("incomplete_streams: answers that a node broke off")
{
    World w;
    auto broken = served();
    broken.termination = "ND";
    w.request(broken);
    CHECK(w.quiet("incomplete_streams"));
    w.request(broken);
    CHECK(w.one("incomplete_streams").severity == Severity::warning);
    CHECK(w.one("incomplete_streams").node == "n1");
    auto elsewhere = broken;
    elsewhere.node = "n2";
    w.request(elsewhere);
    CHECK(datum(w.one("incomplete_streams"), "by_model") == Datum{"by_model", CountsByName{{"m:1b", 2}}});
}

TEST_CASE("queue_growing: a queue that rests is not growing")
{
    World w;
    w.node(1);
    w.fleet.totals.queued = 20;
    w.pass(3min);
    CHECK(w.quiet("queue_growing"));
    w.fleet.totals.queued = 60;
    w.pass(30s);
    CHECK(w.one("queue_growing").summary.find("60 requests wait") != std::string::npos);
    w.fleet.queues = {{"a", {"small:1b", 20}}, {"b", {"big:70b", 40}}};
    CHECK(w.one("queue_growing").summary.starts_with("60 requests wait, most of them for big:70b;"));
    CHECK(w.one("queue_growing").advice.starts_with("`herd pull big:70b --node NODE`"));
    w.fleet.totals.queued = 0;
    w.pass(30s);
    CHECK(w.quiet("queue_growing"));
}

TEST_CASE("queue_saturated: requests that were turned away")
{
    World w;
    w.request(served(), 100);
    CHECK(w.quiet("queue_saturated"));
    Finished full;
    full.status = 429;
    full.termination = "PQ";
    w.request(full, 2);
    CHECK(w.one("queue_saturated").severity == Severity::warning);
    full.termination = "PS"; // too many wait at the Ollamas themselves
    w.request(full, 20);
    CHECK(w.one("queue_saturated").severity == Severity::critical);
    w.now += 11min;
    CHECK(w.quiet("queue_saturated"));
}

TEST_CASE("queue_saturated: what a client has too much of is not the queue's")
{
    World w;
    Finished limited{.requested = "m:1b", .status = 429, .termination = "PR"}; // per_minute, rpm, client_in_flight
    w.request(limited, 50);
    Finished theirs = served();
    theirs.status = 429; // a node's own
    w.request(theirs, 50);
    CHECK(w.quiet("queue_saturated"));
    CHECK(w.history.turned_away().empty());
}

TEST_CASE("stuck_stream: no byte for a minute in an answer, five before one")
{
    World w;
    const auto look = [&](char phase, base::Duration silent) {
        w.history.stuck({{.id = "r1", .node = "n1", .model = "m:1b", .phase = phase, .silent = silent}});
        return w.quiet("stuck_stream");
    };
    CHECK(look('D', 59s));
    CHECK_FALSE(look('D', 60s));
    CHECK(w.one("stuck_stream").summary.find("r1") != std::string::npos);
    CHECK(look('H', 299s));
    CHECK_FALSE(look('H', 301s));
    w.history.stuck({});
    CHECK(w.quiet("stuck_stream"));
}

TEST_CASE("vram_fallback_active names the model that was wanted")
{
    World w;
    w.request(served());
    CHECK(w.quiet("vram_fallback_active"));
    auto other = served();
    other.fallback = true;
    other.requested = "big:70b";
    w.request(other, 2);
    const auto found = w.one("vram_fallback_active");
    CHECK(found.model == "big:70b");
    CHECK(datum(found, "top_requested") == Datum{"top_requested", Names{"big:70b"}});
    CHECK_FALSE(found.costs());
}

TEST_CASE("image_generation and transcription_activity tell, and warn when some failed")
{
    World w;
    CHECK(w.quiet("image_generation"));
    Finished one = served();
    one.kind = Finished::Kind::image;
    w.request(one, 2);
    auto found = w.one("image_generation");
    CHECK(found.activity);
    CHECK(found.summary.starts_with("2 images"));
    CHECK(w.quiet("transcription_activity"));
    one.status = 404; // a client's mistake
    w.request(one);
    CHECK(w.one("image_generation").activity);
    one.status = 502;
    w.request(one);
    found = w.one("image_generation");
    CHECK(found.severity == Severity::warning);
    CHECK(found.costs());
    one.kind = Finished::Kind::transcription;
    one.status = 200;
    w.request(one);
    CHECK(w.one("transcription_activity").activity);
    CHECK(vitals_of(w.evidence()).images == 2);
    CHECK(vitals_of(w.evidence()).transcriptions == 1);
}
