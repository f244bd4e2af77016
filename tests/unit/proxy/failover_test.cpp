#include "proxy/failover.hpp"
#include "proxy/profile.hpp"
#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;
using base::Errc;
using fleet::Result;

namespace {

AttemptFacts broken(Phase phase, Errc error, bool replayable = true, bool reused = false, bool kept = true)
{
    AttemptFacts facts;
    facts.phase = phase;
    facts.error = error;
    facts.replayable = replayable;
    facts.reused = reused;
    facts.body_kept = kept;
    return facts;
}

AttemptFacts answered(int status, std::string_view body = "{}", bool json = true, bool replayable = true)
{
    AttemptFacts facts;
    facts.phase = Phase::answered;
    facts.status = status;
    facts.body = body;
    facts.json = json;
    facts.names_model = true;
    facts.replayable = replayable;
    return facts;
}

} // namespace

TEST_CASE("who could not be reached is replaced, whatever the route")
{
    for (const bool replayable : {true, false}) {
        for (const bool kept : {true, false}) {
            CHECK(decide(broken(Phase::connecting, Errc::refused, replayable, false, kept)).verdict == Verdict::elsewhere);
        }
    }
    CHECK(decide(broken(Phase::connecting, Errc::refused)).result == Result::refused);
    CHECK(decide(broken(Phase::connecting, Errc::unreachable)).result == Result::refused);
    CHECK(decide(broken(Phase::connecting, Errc::timed_out)).result == Result::timed_out);
}

TEST_CASE("an agent that refused our proof did nothing: another node, if the body is still there, whatever the route")
{
    for (const bool replayable : {true, false}) {
        CHECK(decide(broken(Phase::answered, Errc::forbidden, replayable)).verdict == Verdict::elsewhere);
        CHECK(decide(broken(Phase::answered, Errc::forbidden, replayable)).result == Result::refused);
        CHECK(decide(broken(Phase::answered, Errc::forbidden, replayable, false, false)).verdict == Verdict::give_up);
    }
}

TEST_CASE("who broke off after we spoke is replaced only if that may be repeated")
{
    for (const auto phase : {Phase::sent, Phase::answered}) {
        CHECK(decide(broken(phase, Errc::reset)).verdict == Verdict::elsewhere);
        CHECK(decide(broken(phase, Errc::reset)).result == Result::broken);
        CHECK(decide(broken(phase, Errc::timed_out)).result == Result::timed_out);
        CHECK(decide(broken(phase, Errc::malformed)).verdict == Verdict::elsewhere);
        CHECK(decide(broken(phase, Errc::reset, false)).verdict == Verdict::give_up);
        CHECK(decide(broken(phase, Errc::reset, true, false, false)).verdict == Verdict::give_up);
    }
}

TEST_CASE("a reused connection may have been stale: once more at the same node")
{
    for (const auto error : {Errc::reset, Errc::closed, Errc::io}) {
        CHECK(decide(broken(Phase::sent, error, true, true)).verdict == Verdict::same_again);
    }
    CHECK(decide(broken(Phase::answered, Errc::reset, true, true)).verdict == Verdict::elsewhere);
    CHECK(decide(broken(Phase::sent, Errc::timed_out, true, true)).verdict == Verdict::elsewhere);
    CHECK(decide(broken(Phase::sent, Errc::reset, false, true)).verdict == Verdict::give_up);
}

TEST_CASE("we do not repeat what we ended ourselves")
{
    CHECK(decide(broken(Phase::sent, Errc::cancelled)).verdict == Verdict::give_up);
    CHECK(decide(broken(Phase::sent, Errc::cancelled)).result == Result::cancelled);
}

TEST_CASE("statuses: what is the client's business passes, what is the node's trouble does not")
{
    for (const int status : {200, 201, 204, 301, 400, 401, 403, 405, 409, 413, 415, 429, 499, 501}) {
        CHECK(decide(answered(status)).verdict == Verdict::pass);
        CHECK(decide(answered(status)).result == Result::served);
        CHECK_FALSE(looks_failed(status));
    }
    for (const int status : {500, 502, 503, 504, 507, 508}) {
        CHECK(looks_failed(status));
        CHECK(decide(answered(status)).verdict == Verdict::elsewhere);
        CHECK(decide(answered(status)).result == Result::failed);
        CHECK(decide(answered(status, "{}", true, false)).verdict == Verdict::pass);
    }
    CHECK(decide(answered(500, R"({"error":"option \"num_ctx\" must be of type integer"})")).verdict == Verdict::pass);
    CHECK(decide(answered(500, R"({"error":"llama-server reported out-of-memory during startup: x"})")).verdict == Verdict::elsewhere);
}

TEST_CASE("an Ollama whose queue is full did not fail: another node, if it may be repeated, else too busy")
{
    constexpr auto words = R"({"error":"server busy, please try again.  maximum pending requests exceeded"})";
    CHECK(decide(answered(503, words)).verdict == Verdict::elsewhere);
    CHECK(decide(answered(503, words)).result == Result::busy);
    CHECK(decide(answered(503, words, true, false)).verdict == Verdict::give_up);
    CHECK(decide(answered(503, words, true, false)).result == Result::busy);
    CHECK(decide(answered(500, words)).result == Result::failed);
    auto unnamed = answered(503, words, true, false);
    unnamed.names_model = false;
    CHECK(decide(unnamed).verdict == Verdict::pass);
}

TEST_CASE("404 against the catalog is the node's mistake; text means the route is unknown there")
{
    CHECK(decide(answered(404)).result == Result::model_missing);
    CHECK(decide(answered(404)).verdict == Verdict::elsewhere);
    CHECK(decide(answered(404, "404 page not found", false)).result == Result::route_missing);
    auto blob = answered(404);
    blob.names_model = false;
    CHECK(decide(blob).verdict == Verdict::pass);
    CHECK(decide(blob).result == Result::served);
}

TEST_CASE("404 for a spelling that is not the listed one says nothing of the model")
{
    auto facts = answered(404);
    facts.as_listed = false;
    CHECK(decide(facts).verdict == Verdict::pass);
    CHECK(decide(facts).result == Result::served);
    CHECK(is_spelled("tiny:latest", "tiny:latest"));
    CHECK(is_spelled("tiny", "tiny:latest"));
    CHECK_FALSE(is_spelled("Tiny", "tiny:latest"));
    CHECK_FALSE(is_spelled(" tiny ", "tiny:latest"));
    CHECK_FALSE(is_spelled("tiny:local", "tiny:latest"));
    CHECK_FALSE(is_spelled("tin", "tiny:latest"));
}

TEST_CASE("an error of an agent's gateway is nobody's answer: another node, or an error of our own")
{
    for (const bool replayable : {true, false}) {
        for (const bool kept : {true, false}) {
            auto facts = answered(502, R"({"error":"Ollama broke off: reset"})", true, replayable);
            facts.body_kept = kept;
            facts.made_by = MadeBy::gateway_untouched;
            CHECK(decide(facts).verdict == (kept ? Verdict::elsewhere : Verdict::give_up));
            facts.made_by = MadeBy::gateway_broken;
            CHECK(decide(facts).verdict == (kept && replayable ? Verdict::elsewhere : Verdict::give_up));
            CHECK(decide(facts).result == Result::failed);
        }
    }
}

TEST_CASE("a tool whose time was over is not tried elsewhere, one that failed is")
{
    auto facts = answered(504, R"({"error":"painter made no image within 120 s"})", true, true);
    facts.made_by = MadeBy::late_tool;
    CHECK(decide(facts).verdict == Verdict::give_up);
    CHECK(decide(facts).result == Result::failed);
    CHECK(decide(answered(502, R"({"error":"painter failed: it ended with status 1"})", true, true)).verdict == Verdict::elsewhere);
    http::Fields late;
    late.add("X-Herd-Gateway", "late");
    CHECK(made_by(late) == MadeBy::late_tool);
}

TEST_CASE("who made an error stands in its field, and anything else there is an Ollama's")
{
    http::Fields fields;
    CHECK(made_by(fields) == MadeBy::ollama);
    fields.add("X-Herd-Gateway", "untouched");
    CHECK(made_by(fields) == MadeBy::gateway_untouched);
    http::Fields broken;
    broken.add("x-herd-gateway", "broken");
    CHECK(made_by(broken) == MadeBy::gateway_broken);
    http::Fields odd;
    odd.add("X-Herd-Gateway", "yes");
    CHECK(made_by(odd) == MadeBy::ollama);
}
