// The phases that wait for others: acquire → attempt → judge, until somebody answers or nobody will.
#include "proxy/exchange.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"
#include "proxy/bare_answer.hpp"
#include "proxy/heads.hpp"

#include <algorithm>
#include <utility>

namespace herd::proxy {
namespace {

/// Its answers come without their header: only Ollana's servers are sent the id of a device.
bool behind_ollana(const fleet::Address& address)
{
    return address.manner != nullptr && std::ranges::any_of(address.manner->headers, [](const auto& header) { return header.first == device_field; });
}

bool is_json(const http::Fields& fields)
{
    return fields.find("Content-Type").value_or("").starts_with("application/json");
}

} // namespace

net::Task<void> Exchange::serve()
{
    if (options_->total_timeout > base::Duration{}) {
        visit_.limit_total();
    }
    if (!context_.old_nodes.empty()) {
        profile_.exclude = context_.old_nodes.without(route_name(), context_.loop.now());
        skipped_old_nodes_ = !profile_.exclude.empty();
    }
    profile_.exclude.insert(profile_.exclude.end(), barred_.begin(), barred_.end());
    for (int tries = 0;; ++tries) {
        profile_.attempt = tries;
        phase_ = 'Q';
        choose_node();
        ticket_ = context_.scheduler.new_ticket();
        if (!acquire_at_once()) {
            co_await acquire();
        }
        if (!granted_ && may_pull() && !co_await pull_and_acquire()) {
            co_return;
        }
        if (!granted_) {
            co_return co_await refuse(granted_.error());
        }
        take_model();
        auto& held = visit_.held_.emplace(context_.scheduler, *granted_, context_.loop.now());
        record_.queue += granted_->queued;
        record_.node = granted_->node_name;
        record_.decision = granted_->decision;
        phase_ = 'H';
        auto input = attempt_input();
        if (tries > 0) {
            attempt_ = {};
        }
        co_await try_node(client_, context_.pool, input, attempt_);
        if (!attempt_.client_gone && attempt_.error && judge().verdict == Verdict::same_again) {
            input.fresh = true; // a reused connection that turned out to be dead is replaced once without counting
            attempt_ = {};
            co_await try_node(client_, context_.pool, input, attempt_);
        }
        if (!attempt_.error && attempt_.phase == Phase::answered && behind_ollana(granted_->address)) {
            restore_type(attempt_.head, route_, record_.stream, attempt_.first.empty() ? std::string_view(attempt_.failure_text) : attempt_.first.front());
        }
        record_.connect = attempt_.connect;
        if (attempt_.client_gone) {
            held.finish(visit_.outcome_of(fleet::Result::cancelled));
            co_return co_await leave(stage_of_attempt());
        }
        if (attempt_.body_too_large) {
            held.finish(visit_.outcome_of(fleet::Result::cancelled));
            client_.close_after();
            co_return co_await say(problem_of(base::Errc::too_large));
        }
        const auto decision = judge();
        if (decision.verdict == Verdict::pass) {
            if (early_) {
                co_await early_->stop();
            }
            if (client_.begun()) {
                if (!fits_early_head()) {
                    co_return co_await tell_in_stream();
                }
                co_await name_node();
            }
            co_return visit_.pass(std::move(attempt_), *granted_, route_);
        }
        note_failed(decision, held);
        if (decision.verdict == Verdict::give_up || tries >= options_->retries) {
            co_return co_await give_up({});
        }
    }
}

/// A place that is free, or a refusal, without waiting. False: acquire() goes on with the same ticket.
bool Exchange::acquire_at_once()
{
    if (client_.client_gone()) {
        granted_ = std::unexpected(fleet::Refusal{{base::Errc::cancelled, base::Source::client}, {}});
        return true;
    }
    return context_.scheduler.try_acquire(ticket_, profile_, granted_);
}

net::Task<void> Exchange::acquire()
{
    client_.on_client_gone([this] { context_.scheduler.cancel(ticket_); });
    const auto asked = context_.loop.now();
    granted_ = co_await context_.scheduler.acquire(ticket_, profile_);
    client_.on_client_gone(nullptr);
    if (!granted_) {
        record_.queue += context_.loop.now() - asked;
    }
}

/// Routes that must reach one particular node get it pinned here, for each attempt anew.
void Exchange::choose_node()
{
    const auto handling = route_.handling;
    if (handling != Handling::pull && handling != Handling::create && handling != Handling::blob
        && handling != Handling::account) {
        return;
    }
    const auto snapshot = context_.scheduler.snapshot();
    auto exclude = profile_.exclude;
    for (const auto& node : snapshot->nodes) {
        if (!model_.key.empty() && !node.allows(model_.key)) {
            exclude.push_back(node.id); // it would have what it may not serve
        }
    }
    base::NodeId chosen;
    if (handling == Handling::pull) {
        visit_.pulling_.reset();
        chosen = choose_pull_node(*snapshot, context_.shared->pulls, model_.key, wishes_, exclude);
        visit_.pulling_ = std::make_unique<PullMemory::Mark>(context_.shared->pulls, model_.key, chosen);
    } else {
        auto digests = handling == Handling::blob ? std::vector{route_.parameter} : peek_.blobs;
        const auto base_model = fleet::ModelName::parse(peek_.from);
        chosen = choose_build_node(*snapshot, context_.shared->blobs, digests, base_model.valid ? base_model.key : "", wishes_, exclude);
    }
    if (!chosen.is_nil()) {
        profile_.node = chosen.text();
    } else {
        profile_.node = wishes_.node;
    }
}

AttemptInput Exchange::attempt_input()
{
    AttemptInput input;
    input.address = &granted_->address;
    input.own_id = options_->own_id;
    input.client = record_.client;
    input.body = body_for_node();
    input.target = visit_.target();
    input.decoded = rewritten_;
    input.connect_timeout = granted_->address.configured ? options_->static_connect_timeout : options_->connect_timeout;
    input.streamed = streamed_;
    input.fresh = (!route_.replayable && client_.head().method != "HEAD") || options_->retries == 0; // else a dead one is replaced, which may send it twice
    input.first_byte_timeout = options_->first_byte_timeout;
    input.relay = {.idle_timeout = options_->idle_timeout,
                   .body_bytes_max = route_.handling == Handling::blob ? 0 : options_->max_body};
    return input;
}

Decision Exchange::judge() const
{
    AttemptFacts facts;
    facts.phase = attempt_.phase;
    if (attempt_.error) {
        facts.error = attempt_.error->code;
    }
    facts.status = attempt_.head.status;
    facts.json = facts.status == 404 && is_json(attempt_.head.fields);
    facts.made_by = looks_failed(facts.status) ? made_by(attempt_.head.fields) : MadeBy::ollama;
    facts.body = attempt_.failure_text;
    facts.names_model = names_model_;
    facts.as_listed = is_spelled(model_written_, record_.model);
    facts.replayable = route_.replayable;
    facts.body_kept = !streamed_;
    facts.reused = attempt_.reused;
    return decide(facts);
}

void Exchange::note_failed(const Decision& decision, HeldLease& held)
{
    auto outcome = visit_.outcome_of(decision.result);
    outcome.status = attempt_.error ? 0 : attempt_.head.status;
    outcome.reason = decision.reason;
    record_.attempts.push_back({granted_->node_name, decision.result, outcome.took});
    log::debug("proxy", "attempt_failed",
               {{"id", record_.id}, {"node", granted_->node_name}, {"result", fleet::to_string(decision.result)},
                {"reason", decision.reason}});
    if (decision.result == fleet::Result::route_missing) {
        context_.old_nodes.add(granted_->node, route_name(), context_.loop.now());
    }
    const bool busy = decision.result == fleet::Result::busy;
    if (!attempt_.error && attempt_.whole) {
        const auto author = made_by(attempt_.head.fields);
        if (!busy && (author == MadeBy::ollama || author == MadeBy::late_tool)) {
            failure_ = Failure{std::move(attempt_.head), std::move(attempt_.failure_text), granted_->node_name};
        }
        context_.pool.give_back(std::move(attempt_.connection));
    }
    // Where a load would have to wait as well, the next Ollama may be as busy: only who has the model is asked.
    profile_.resident_only = profile_.resident_only || busy;
    profile_.exclude.push_back(granted_->node);
    held.finish(std::move(outcome));
}

/// The client left; or an operator or the deadline ended what it asked for: then it is told. No node is to blame.
net::Task<void> Exchange::leave(Stage stage)
{
    if (!visit_.cancelled() && !visit_.late()) {
        co_return client_left(stage);
    }
    client_.close_after();
    if (visit_.cancelled()) { // and not to try again
        co_return co_await say({503, "cancelled", std::string(visit_.cancelled_)}, 'P', stage);
    }
    auto problem = problem_of(base::Errc::deadline_passed);
    problem.message = (stage == Stage::queued ? std::string("the wait for a node") : "node '" + record_.node + "'").append(visit_.late_words());
    co_await say(std::move(problem), 'T', stage);
}

/// How far the last attempt came.
Exchange::Stage Exchange::stage_of_attempt() const { return attempt_.phase == Phase::connecting ? Stage::connecting : Stage::head; }

} // namespace herd::proxy
