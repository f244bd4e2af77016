#include "proxy/problem.hpp"

#include "fleet/model_name.hpp"
#include "fleet/words.hpp"

#include <algorithm>
#include <chrono>

namespace herd::proxy {

Problem problem_of(base::Errc code)
{
    using enum base::Errc;
    switch (code) {
    case malformed: return {400, "bad_request", "malformed request"};
    case too_large: return {413, "too_large", "request body too large"};
    case unsupported: return {415, "unsupported", "not supported"};
    case no_such_model: return {404, "model_not_found", "model not found"};
    case no_node: return {503, "unavailable", "no node is available", std::chrono::seconds{5}};
    case no_such_label: return {400, "unknown_label", "no node carries the label asked for"};
    case queue_full: return {429, "busy", "the queue is full, try again later", std::chrono::seconds{1}};
    case deadline_passed: return {504, "deadline_passed", "no node became free in time"};
    case attempts_failed: return {502, "attempts_failed", "every node tried failed"};
    case forbidden: return {403, "not_allowed", "not allowed"};
    case not_found: return {404, "not_found", "not found"};
    case conflict: return {409, "conflict", "conflict"};
    case loop: return {508, "loop", "this request has been here before"};
    case bad_config: return {400, "bad_request", "bad request"};
    case timed_out: return {504, "timed_out", "the node did not answer in time"};
    case cancelled: return {499, "cancelled", "request canceled"};
    case refused:
    case reset:
    case closed:
    case unreachable: return {502, "node_failed", "the node failed"};
    case in_use:
    case io:
    case internal: return {500, "internal", "internal error"};
    }
    return {500, "internal", "internal error"};
}

Problem problem_of(const base::Error& error)
{
    auto problem = problem_of(error.code);
    if (!error.context.empty()) {
        problem.message = error.context;
    }
    return problem;
}

Problem problem_of(const fleet::Refusal& refusal, const Route& route, std::string_view model)
{
    if (refusal.error.code == base::Errc::no_such_model) {
        auto problem = model_not_found(route, model);
        problem.message += refusal.error.context.ends_with(fleet::may_not_serve) ? fleet::may_not_serve : "";
        return problem;
    }
    auto problem = problem_of(refusal.error);
    if (refusal.error.code == base::Errc::bad_config) {
        problem.status = 503;
        problem.code = "node_unconfigured";
    }
    if (refusal.retry_after > base::Duration::zero()) {
        problem.retry_after = refusal.retry_after;
    }
    return problem;
}

Problem model_not_found(const Route& route, std::string_view model)
{
    Problem problem{404, "model_not_found", {}};
    const std::string name(model);
    if (route.embedding) {
        problem.message = "model \"" + name + "\" not found, try pulling it first";
    } else if (route.handling == Handling::copy) {
        problem.message = "model \"" + name + "\" not found";
    } else if (route.handling == Handling::show || route.handling == Handling::model_lookup) {
        const auto parsed = fleet::ModelName::parse(model);
        problem.message = "model '" + (parsed.valid ? parsed.display : name) + "' not found";
    } else {
        problem.message = "model '" + name + "' not found";
    }
    return problem;
}

Problem bad_request(std::string message) { return {400, "bad_request", std::move(message)}; }

int retry_after_seconds(base::Duration delay)
{
    if (delay <= base::Duration::zero()) {
        return 0;
    }
    const auto whole = std::chrono::ceil<std::chrono::seconds>(delay).count();
    return static_cast<int>(std::clamp<std::int64_t>(whole, 1, 60));
}

} // namespace herd::proxy
