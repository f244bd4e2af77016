// A model that is on none of the nodes that might serve the request, where [models] auto_pull lets it be brought to one:
// the request waits for that, as it would for a place, and then asks for a place anew.
#include "proxy/auto_pull.hpp"
#include "proxy/exchange.hpp"
#include "proxy/frontend.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace herd::proxy {
namespace {

constexpr base::Duration later = std::chrono::seconds{30}; // a pull takes minutes

} // namespace

/// Nobody was granted for want of the model. A frontend that lets nobody change models does not by way of this either.
bool Exchange::may_pull() const
{
    const auto* frontend = visit_.at_ ? visit_.at_->frontend : nullptr;
    return granted_.error().error.code == base::Errc::no_such_model && record_.attempts.empty() && !model_.cloud
        && route_.handling == Handling::inference && !route_.tools_only && profile_.need == fleet::Need::slot && context_.shared->bring
        && options_->auto_pull.allows(model_.key) && (frontend == nullptr || !frontend->refusal(RequestClass::model_admin));
}

/// False: there is nothing to go on with, and the client was told.
net::Task<bool> Exchange::pull_and_acquire()
{
    const auto asked = context_.loop.now();
    const auto until = std::min(profile_.deadline, asked + options_->auto_pull.timeout);
    const auto wait = std::make_shared<PullWait>(context_.loop);
    pulling_ = true;
    context_.shared->bring({.key = model_.key,
                            .model = model_.display,
                            .wishes = wishes_,
                            .exclude = profile_.exclude,
                            .generates = profile_.generates,
                            .seen = context_.scheduler.snapshot()},
                           wait);
    client_.on_client_gone([wait] { wait->stop(); });
    net::Timer timer(context_.loop);
    timer.call_at(until, [wait] { wait->stop(); });
    co_await wait->wait();
    client_.on_client_gone(nullptr);
    pulling_ = false;
    const auto took = context_.loop.now() - asked;
    record_.queue += took;
    if (client_.client_gone()) {
        co_return true; // refuse() tells such from others
    }
    const auto& answer = wait->answered();
    if (!answer) {
        auto problem = problem_of(base::Errc::deadline_passed);
        problem.message = "model '" + model_.text + "' is on no node yet: it is being pulled, which goes on";
        problem.retry_after = later;
        co_await say(std::move(problem), 'T', Stage::queued);
        co_return false;
    }
    if (!*answer) {
        const auto& why = answer->error();
        const bool as_ever = why.code == base::Errc::no_such_model && why.context.empty(); // refuse() has words for it
        if (!as_ever) {
            co_await say(not_pulled(why), 'P', Stage::selecting);
        }
        co_return as_ever;
    }
    record_.model = as_listed(*context_.scheduler.snapshot(), model_.key, model_.display);
    ticket_ = context_.scheduler.new_ticket();
    if (!acquire_at_once()) {
        co_await acquire();
    }
    tell_pulled(took);
    co_return true;
}

Problem Exchange::not_pulled(const base::Error& why) const
{
    if (why.code != base::Errc::no_such_model) {
        auto problem = problem_of(why);
        problem.retry_after = later;
        return problem;
    }
    auto problem = model_not_found(route_, model_.text);
    problem.message.append("; ").append(why.context);
    return problem;
}

/// In the record of the decision.
void Exchange::tell_pulled(base::Duration took)
{
    if (!granted_) {
        return;
    }
    auto told = granted_->decision ? *granted_->decision : fleet::Decision{.model = model_.display, .chosen = granted_->node};
    told.note = fmt::format("no node had the model: it was pulled because of this request, which waited {:.1f} s for it", base::seconds(took));
    granted_->decision = std::make_shared<const fleet::Decision>(std::move(told));
}

/// "pulling qwen3:8b on studio, 42 %"
std::string Exchange::pulling_words() const
{
    std::string words = "pulling " + record_.model;
    const auto pull = context_.shared->pulls.furthest(model_.key);
    const auto snapshot = context_.scheduler.snapshot();
    const auto* node = pull ? snapshot->find(pull->node) : nullptr;
    if (node != nullptr) {
        words.append(" on ").append(node->name);
    }
    if (pull && pull->percent > 0) {
        words.append(", ").append(std::to_string(pull->percent)).append(" %");
    }
    return words;
}

} // namespace herd::proxy
