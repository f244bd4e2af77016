// Nobody was granted, or nobody answered: which refusal it is, and in whose words.
#include "proxy/exchange.hpp"

#include "proxy/heads.hpp"
#include "proxy/sent.hpp"

#include <algorithm>
#include <utility>

namespace herd::proxy {
namespace {

/// Who waits at an Ollama beside herd is nothing that herd could predict.
constexpr base::Duration busy_retry_after = std::chrono::seconds{5};

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

} // namespace

net::Task<void> Exchange::refuse(const fleet::Refusal& refusal)
{
    if (refusal.error.code == base::Errc::cancelled || client_.client_gone()) {
        co_return co_await leave(Stage::queued);
    }
    const bool late = refusal.error.code == base::Errc::deadline_passed && !failure_; // a node's own words say more
    if (!record_.attempts.empty() && !late) {
        co_return co_await give_up(refusal.error.context);
    }
    if (unwritable_ && refusal.error.code == base::Errc::attempts_failed) {
        co_return co_await say(std::move(*unwritable_), 'P', Stage::selecting);
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
    if (refusal.error.code == base::Errc::no_such_model && !nobody && (route_.tools_only || route_.tool == fleet::Tool::image)) {
        problem = no_such_tool(*snapshot);
    }
    if (refusal.error.code == base::Errc::no_node && label_is_known()) {
        problem.code = "no_node_with_label";
    }
    if (!sent.empty() && (nobody || refusal.error.code == base::Errc::no_node)) {
        problem.message += ": " + sent;
    }
    if (!record_.attempts.empty()) {
        problem.message += "; tried before: " + tried();
    }
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

/// "n1 (broken), n2 (timed_out)"
std::string Exchange::tried() const
{
    std::string words;
    for (const auto& each : record_.attempts) {
        words.append(words.empty() ? "" : ", ").append(each.node).append(" (").append(fleet::to_string(each.outcome)).append(")");
    }
    return words;
}

/// The last node's own words if it had any, else which nodes were tried, and why no other one. Too many waiting there is
/// 429, as with us.
net::Task<void> Exchange::give_up(std::string_view why)
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
    problem.message.append(": ").append(tried()).append(why.empty() ? "" : "; ").append(why);
    co_await say(std::move(problem), 'N', stage_of_attempt());
}

} // namespace herd::proxy
