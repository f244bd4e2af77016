// The phases that wait for others: acquire → attempt → judge, until somebody answers or nobody will.
#include "proxy/exchange.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"
#include "proxy/bare_answer.hpp"
#include "proxy/heads.hpp"
#include "proxy/sent.hpp"

#include <algorithm>
#include <utility>

namespace herd::proxy {
namespace {

/// Who waits at an Ollama beside herd is nothing that herd could predict.
constexpr base::Duration busy_retry_after = std::chrono::seconds{5};

/// Its answers come without their header: only Ollana's servers are sent the id of a device.
bool behind_ollana(const fleet::Address& address)
{
    return address.manner != nullptr && std::ranges::any_of(address.manner->headers, [](const auto& header) { return header.first == device_field; });
}

/// Of a fleet so large that a storm of refusals would cost more in explanations than in requests, none is explained.
constexpr std::size_t explained_nodes_max = 256;
constexpr std::size_t listed_most = 16; ///< candidates, as in the decision of a lease

bool is_worth_explaining(base::Errc why)
{
    return why == base::Errc::deadline_passed || why == base::Errc::queue_full || why == base::Errc::no_node;
}

/// How things stood when nobody was chosen: whatever has become free by now was not given.
std::shared_ptr<const fleet::Decision> as_refused(fleet::Decision told, const std::string& words)
{
    told.chosen.reset();
    told.note = words;
    if (told.candidates.size() > listed_most) {
        told.left_out += told.candidates.size() - listed_most;
        told.candidates.resize(listed_most);
    }
    return std::make_shared<const fleet::Decision>(std::move(told));
}

bool is_json(const http::Fields& fields)
{
    return fields.find("Content-Type").value_or("").starts_with("application/json");
}

} // namespace

net::Task<void> Exchange::serve()
{
    if (!context_.old_nodes.empty()) {
        profile_.exclude = context_.old_nodes.without(route_name(), context_.loop.now());
        skipped_old_nodes_ = !profile_.exclude.empty();
        profile_.exclude.insert(profile_.exclude.end(), no_stubs_.begin(), no_stubs_.end());
    }
    for (int tries = 0;; ++tries) {
        profile_.attempt = tries;
        phase_ = 'Q';
        choose_node();
        ticket_ = context_.scheduler.new_ticket();
        if (!acquire_at_once()) {
            co_await acquire();
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
            co_return co_await leave(attempt_.phase == Phase::connecting ? Stage::connecting : Stage::head);
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
            co_return co_await give_up();
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
    base::NodeId chosen;
    if (handling == Handling::pull) {
        chosen = choose_pull_node(*snapshot, model_.key, wishes_, profile_.exclude);
    } else {
        auto digests = handling == Handling::blob ? std::vector{route_.parameter} : peek_.blobs;
        const auto base_model = fleet::ModelName::parse(peek_.from);
        chosen = choose_build_node(*snapshot, context_.shared->blobs, digests, base_model.valid ? base_model.key : "", wishes_,
                                   profile_.exclude);
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
    input.body = body_for_node();
    input.target = visit_.target();
    input.decoded = rewritten_;
    input.connect_timeout = granted_->address.configured ? options_->static_connect_timeout : options_->connect_timeout;
    input.streamed = streamed_;
    input.fresh = (!route_.replayable && client_.head().method != "HEAD") || options_->retries == 0; // else a dead one is replaced, which may send it twice
    input.first_byte_timeout = options_->first_byte_timeout;
    if (options_->total_timeout > base::Duration{}) {
        const auto left = std::max(began_ + options_->total_timeout - context_.loop.now(), base::Duration{1});
        input.first_byte_timeout = input.first_byte_timeout > base::Duration{} ? std::min(input.first_byte_timeout, left) : left;
    }
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
        if (!busy && made_by(attempt_.head.fields) == MadeBy::ollama) {
            failure_ = Failure{std::move(attempt_.head), std::move(attempt_.failure_text), granted_->node_name};
        }
        context_.pool.give_back(std::move(attempt_.connection));
    }
    // Where a load would have to wait as well, the next Ollama may be as busy: only who has the model is asked.
    profile_.resident_only = profile_.resident_only || busy;
    profile_.exclude.push_back(granted_->node);
    held.finish(std::move(outcome));
}

/// The client left, or an operator ended what it asked for: then it is told, and not to try again.
net::Task<void> Exchange::leave(Stage stage)
{
    if (!visit_.cancelled()) {
        co_return client_left(stage);
    }
    client_.close_after();
    co_await say({503, "cancelled", std::string(visit_.cancelled_)}, 'P', stage);
}

// ---- nobody answered -------------------------------------------------------------------------------------

net::Task<void> Exchange::refuse(const fleet::Refusal& refusal)
{
    if (refusal.error.code == base::Errc::cancelled || client_.client_gone()) {
        co_return co_await leave(Stage::queued);
    }
    if (!record_.attempts.empty()) {
        co_return co_await give_up();
    }
    if (skipped_old_nodes_ && refusal.error.code == base::Errc::attempts_failed) {
        co_return co_await say(not_found()); // as every node that could have served it would say
    }
    if (is_worth_explaining(refusal.error.code) && profile_.need == fleet::Need::slot
        && context_.scheduler.snapshot()->nodes.size() <= explained_nodes_max) {
        auto question = profile_;
        question.fallbacks.clear(); // why not the model that was asked for
        auto told = co_await context_.scheduler.explain(std::move(question));
        record_.decision = as_refused(std::move(told), refusal.error.context);
    }
    const auto snapshot = context_.scheduler.snapshot();
    const auto* frontend = visit_.at_ ? visit_.at_->frontend : nullptr;
    const auto sent = sent_words(frontend, *snapshot);
    // One that is sent to a node that was forgotten has no models at all: a 404 would make `ollama run` pull them.
    const bool nobody = refusal.error.code == base::Errc::no_such_model && !sent.empty()
        && snapshot->find(std::string_view(frontend->use)) == nullptr;
    auto problem = nobody ? problem_of(base::Errc::no_node) : problem_of(refusal, route_, model_.text);
    if (refusal.error.code == base::Errc::no_node && label_is_known()) {
        problem.code = "no_node_with_label";
    }
    if (!sent.empty() && (nobody || refusal.error.code == base::Errc::no_node)) {
        problem.message += ": " + sent;
    }
    const bool late = refusal.error.code == base::Errc::deadline_passed;
    const auto stage = late || refusal.error.code == base::Errc::queue_full ? Stage::queued : Stage::selecting;
    co_await say(std::move(problem), late ? 'T' : 'P', stage);
}

/// Labels were asked for, and there is a node that carries them all.
bool Exchange::label_is_known() const
{
    const auto snapshot = context_.scheduler.snapshot();
    return !profile_.labels.empty() && std::ranges::any_of(snapshot->nodes, [this](const fleet::NodeView& node) {
        return std::ranges::all_of(profile_.labels, [&node](const std::string& label) {
            return std::ranges::find(node.labels, label) != node.labels.end();
        });
    });
}

/// The last node's own words if it had any, else which nodes were tried. Too many waiting there is 429, as with us.
net::Task<void> Exchange::give_up()
{
    if (record_.attempts.back().outcome == fleet::Result::busy) {
        auto problem = problem_of(base::Errc::queue_full);
        problem.message = "too many requests wait at the Ollama of " + record_.attempts.back().node;
        problem.retry_after = busy_retry_after;
        co_return co_await say(std::move(problem), 'P', Stage::selecting);
    }
    if (failure_) {
        LocalAnswer answer;
        const auto head = client_head(failure_->head);
        answer.status = head.status;
        answer.content_type = {};
        answer.fields = head.fields;
        answer.body = std::move(failure_->body);
        visit_.stamp_proxied(answer.fields, failure_->node, record_.attempts.size() - 1);
        ended('N', Stage::head);
        co_return co_await say(std::move(answer));
    }
    auto problem = problem_of(base::Errc::attempts_failed);
    for (const auto& tried : record_.attempts) {
        problem.message.append(&tried == &record_.attempts.front() ? ": " : ", ");
        problem.message.append(tried.node).append(" (").append(fleet::to_string(tried.outcome)).append(")");
    }
    co_await say(std::move(problem), 'N', Stage::connecting);
}

} // namespace herd::proxy
