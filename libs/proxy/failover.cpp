#include "proxy/failover.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

using base::Errc;
using fleet::Result;

/// A 500 that is the client's own mistake: any node would say the same.
bool is_clients_mistake(std::string_view body)
{
    // {"error":"option \"num_ctx\" must be of type integer"}
    return body.find("option ") != body.npos && body.find("must be of type") != body.npos;
}

/// Ollama's own queue for loads is full: {"error":"server busy, please try again.  maximum pending requests exceeded"}
bool is_too_busy(const AttemptFacts& facts)
{
    return facts.status == 503 && facts.names_model && facts.body.find("maximum pending requests exceeded") != facts.body.npos;
}

/// No words of an Ollama, and not in the client's dialect: herd's own error says it, if nobody else serves.
Decision failed_gateway(const AttemptFacts& facts)
{
    const bool untouched = facts.made_by == MadeBy::gateway_untouched;
    const bool again = facts.body_kept && (untouched || facts.replayable);
    return {again ? Verdict::elsewhere : Verdict::give_up, Result::failed, untouched ? "its agent has no Ollama" : "its Ollama broke off"};
}

Decision broken(const AttemptFacts& facts)
{
    const auto error = *facts.error;
    Decision decision;
    decision.reason = base::to_string(error);
    if (error == Errc::cancelled) {
        return {Verdict::give_up, Result::cancelled, "cancelled"};
    }
    if (error == Errc::forbidden) { // the agent wanted another proof and did nothing: as good as not connected
        decision.result = Result::refused;
        decision.verdict = facts.body_kept ? Verdict::elsewhere : Verdict::give_up;
        return decision;
    }
    if (facts.phase == Phase::connecting) {
        decision.result = error == Errc::timed_out ? Result::timed_out : Result::refused;
        decision.verdict = Verdict::elsewhere; // not a byte of the request has been used up
        return decision;
    }
    decision.result = error == Errc::timed_out ? Result::timed_out : Result::broken;
    const bool again = facts.replayable && facts.body_kept;
    const bool perhaps_stale = facts.reused && facts.phase == Phase::sent
                               && (error == Errc::reset || error == Errc::closed || error == Errc::io);
    decision.verdict = !again ? Verdict::give_up : perhaps_stale ? Verdict::same_again : Verdict::elsewhere;
    return decision;
}

} // namespace

MadeBy made_by(const http::Fields& answer)
{
    const auto said = answer.find(gateway_field);
    return said == gateway_untouched ? MadeBy::gateway_untouched
        : said == gateway_broken     ? MadeBy::gateway_broken
        : said == gateway_late       ? MadeBy::late_tool
                                     : MadeBy::ollama;
}

bool looks_failed(int status)
{
    constexpr std::array statuses{404, 500, 502, 503, 504, 507, 508};
    return std::ranges::find(statuses, status) != statuses.end();
}

Decision decide(const AttemptFacts& facts)
{
    if (facts.error) {
        return broken(facts);
    }
    if (!looks_failed(facts.status)) {
        return {};
    }
    if (facts.made_by == MadeBy::late_tool) { // another node would only take as long once more
        return {Verdict::give_up, Result::failed, "its tool took too long"};
    }
    if (facts.made_by != MadeBy::ollama) {
        return failed_gateway(facts);
    }
    Decision decision;
    const bool again = facts.replayable && facts.body_kept;
    if (facts.status == 404) {
        if (!facts.names_model) {
            return {}; // a blob, or a row of some list: the node's word is the answer
        }
        if (facts.json && !facts.as_listed) {
            return {}; // it may be the spelling that is not there; the model is, for everybody else
        }
        decision.result = facts.json ? Result::model_missing : Result::route_missing;
        decision.reason = facts.json ? "the model is not there" : "its Ollama does not know the route";
    } else if (is_too_busy(facts)) {
        return {again ? Verdict::elsewhere : Verdict::give_up, Result::busy, "the queue of its Ollama is full"};
    } else if (facts.status == 500 && is_clients_mistake(facts.body)) {
        return {};
    } else {
        decision.result = Result::failed;
        decision.reason = "status " + std::to_string(facts.status);
    }
    decision.verdict = again ? Verdict::elsewhere : Verdict::pass;
    return decision;
}

} // namespace herd::proxy
