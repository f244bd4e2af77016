// An exchange's way, in the order in which it goes: whether it may be asked at all, then read (exchange_read.cpp),
// understand (exchange_understand.cpp), and acquire → attempt → judge (exchange_serve.cpp), or why not
// (exchange_refuse.cpp); what follows the decision to let an answer through stands in exchange_commit.cpp.
#include "proxy/exchange.hpp"

#include "http/hop.hpp"
#include "proxy/access.hpp"

#include <utility>

namespace herd::proxy {

Exchange::Exchange(Visit& visit)
    : visit_(visit), context_(visit.context_), settings_(visit.settings_), options_(visit.settings_->options.get()),
      client_(visit.client_),
      route_(classify(client_.head().method, client_.head().path(), client_.head().query())), cors_(visit.cors_), began_(visit.began_), record_(visit.record_),
      phase_(visit.phase_), wishes_(read_wishes(client_.head().fields, options_->session_headers)),
      kept_(context_.shared->replay_bytes, options_->replay_total)
{
    record_.id = wishes_.request_id.empty() ? base::make_request_id(context_.rng, record_.at) : wishes_.request_id;
    record_.session = wishes_.session;
    record_.priority = wishes_.priority;
    record_.tags = wishes_.tags;
    record_.labels = wishes_.labels;
    record_.path = client_.head().path().substr(0, 512);
    if (settings_->options->frontends != nullptr) {
        strip_prefix();
    }
    record_.api = to_string(route_.dialect);
    visit_.handling_ = route_.handling;
}

// These are plain functions that return the one task there is to wait for: a frame less on the way of every request.

net::Task<void> Exchange::answer()
{
    if (cors_ == CorsPolicy::Verdict::refused || cors_ == CorsPolicy::Verdict::preflight) {
        return answer_locally();
    }
    if (http::via_contains(client_.head().fields, options_->own_id)) {
        return say(problem_of(base::Errc::loop));
    }
    if (context_.access != nullptr && context_.access->require_key() && is_liveness()) {
        return answer_locally(); // before frontends: whether a Host is one's name is not told without a key
    }
    if (context_.access != nullptr && !client_.is_own()) { // who asks, and may they; nobody is asked while there are no keys
        if (auto refused = visit_.admit()) {
            return say(std::move(*refused));
        }
    }
    if (!wishes_.fault.empty()) {
        return say(bad_request(wishes_.fault));
    }
    if (settings_->options->frontends != nullptr && !client_.is_own()) { // what herd itself asks is about the whole fleet
        if (auto refused = enter_frontend()) {
            return say(std::move(*refused));
        }
    }
    if (visit_.caller_ && !visit_.caller_->may_use_frontend(record_.frontend)
        && !(visit_.at_ && visit_.caller_->may_use_frontend(visit_.at_->frontend->config.name))) {
        return say(forbidden_frontend(record_.frontend));
    }
    switch (route_.handling) {
    case Handling::root:
    case Handling::version:
    case Handling::status:
    case Handling::tags:
    case Handling::ps:
    case Handling::models:
    case Handling::image_models:
    case Handling::not_found:
    case Handling::wrong_method:
    case Handling::redirect: return answer_locally();
    default: break;
    }
    return read_at_once() ? answer_asked() : read_and_answer();
}

net::Task<void> Exchange::read_and_answer()
{
    if (co_await read()) {
        co_await answer_asked();
    }
}

/// All of it is here, or as much as is looked at.
net::Task<void> Exchange::answer_asked()
{
    const auto next = understand();
    const bool goes_on = next != Next::refuse && next != Next::not_found && next != Next::local;
    if (visit_.caller_ && goes_on) {
        if (auto refused = not_for_caller()) {
            return say(std::move(*refused));
        }
        visit_.caller_->mark(profile_, client_.head().fields.find("X-Herd-Priority").has_value());
        record_.priority = profile_.priority;
    }
    if (visit_.at_ && goes_on) {
        if (auto refused = not_for_frontend()) {
            return say(std::move(*refused));
        }
    }
    switch (next) {
    case Next::ask:
        if (peek_.prefer_loaded) {
            prefer_loaded(profile_, wishes_, *context_.scheduler.snapshot());
        }
        if (speaks_early()) {
            return serve_aloud();
        }
        return serve();
    case Next::unload: return unload();
    case Next::copy: return copy();
    case Next::remove: return remove();
    case Next::count: return count_tokens();
    case Next::refuse: return say(std::move(problem_));
    case Next::not_found: return say(not_found());
    case Next::local: break;
    }
    return answer_locally();
}

} // namespace herd::proxy
