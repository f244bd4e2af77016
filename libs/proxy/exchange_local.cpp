// What herd answers by itself: lists of the whole fleet, changes on every holder, refusals.
#include "proxy/exchange.hpp"

#include "fleet/expectations.hpp"
#include "fleet/model_name.hpp"
#include "proxy/dialect/dialect.hpp"
#include "proxy/go_json.hpp"
#include "proxy/merged.hpp"

#include <algorithm>
#include <cmath>

namespace herd::proxy {
namespace {

constexpr std::string_view plain = "text/plain";

/// Where it is said that the model is to be on one of `targets`; null: nowhere.
const std::string* required_where(const ProxyOptions& options, const std::string& model_key, const fleet::Snapshot& snapshot,
                                  const std::vector<Target>& targets)
{
    if (options.required_models == nullptr) {
        return nullptr;
    }
    const auto [first, last] = options.required_models->equal_range(model_key);
    const auto found = std::find_if(first, last, [&](const auto& required) {
        return std::ranges::any_of(targets, [&](const Target& target) {
            const auto* node = snapshot.find(target.id);
            return node != nullptr && required.second.nodes.admits(node->id, node->name, node->labels);
        });
    });
    return found == last ? nullptr : &found->second.where;
}

/// On one of `targets`, or wherever that may be.
bool is_pinned(const ProxyOptions& options, const std::string& model_key, const fleet::Snapshot& snapshot, const std::vector<Target>& targets)
{
    if (options.pinned_models == nullptr) {
        return false;
    }
    const auto [first, last] = options.pinned_models->equal_range(model_key);
    return std::any_of(first, last, [&](const auto& pin) {
        const auto* node = snapshot.find(std::string_view(pin.second));
        return pin.second.empty() || (node != nullptr && std::ranges::find(targets, node->id, &Target::id) != targets.end());
    });
}

/// A path as it may stand in Location and in HTML: what would mean something there is percent-encoded.
std::string inert(std::string_view path)
{
    std::string out;
    for (const char c : path) {
        switch (c) {
        case '\\': out += "%5C"; break;
        case '<': out += "%3C"; break;
        case '>': out += "%3E"; break;
        case '"': out += "%22"; break;
        case '\'': out += "%27"; break;
        default: out += c;
        }
    }
    return out;
}

LocalAnswer redirect_to(const Route& route, std::string_view method)
{
    LocalAnswer answer{route.redirect_status, {}, {}, {}};
    const std::string location = inert(route.location);
    answer.fields.add("Location", location);
    if (method == "GET" || method == "HEAD") {
        answer.content_type = "text/html; charset=utf-8";
        answer.body = "<a href=\"" + location + "\">"
                      + (route.redirect_status == 301 ? "Moved Permanently" : "Temporary Redirect") + "</a>.\n\n";
    }
    return answer;
}

} // namespace

net::Task<void> Exchange::answer_locally()
{
    const auto& head = client_.head();
    LocalAnswer answer;
    if (cors_ == CorsPolicy::Verdict::refused || cors_ == CorsPolicy::Verdict::preflight) {
        answer = {cors_ == CorsPolicy::Verdict::refused ? 403 : 204, {}, {}, {}};
        if (cors_ == CorsPolicy::Verdict::preflight) {
            settings_->cors.mark_preflight(head, answer.fields);
        }
        if (head.method == "OPTIONS" && !route_.allow.empty()) {
            answer.fields.add("Allow", route_.allow);
        }
        co_return co_await say(std::move(answer));
    }
    switch (route_.handling) {
    case Handling::root:
        answer.content_type = "text/plain; charset=utf-8";
        answer.body = "Ollama is running";
        break;
    case Handling::version: answer.body = version_body(*context_.scheduler.snapshot()); break;
    case Handling::tags: answer.body = tags_body(*context_.scheduler.snapshot(), seen_by_caller(), members()); break;
    case Handling::image_models: answer.body = image_models_body(*context_.scheduler.snapshot(), seen_by_caller(), members()); break;
    case Handling::models:
        answer.content_type = "application/json";
        answer.body = models_body(*context_.scheduler.snapshot(), seen_by_caller(), members());
        break;
    case Handling::model_lookup: {
        auto row = model_body(*context_.scheduler.snapshot(), model_.written.empty() ? route_.parameter : model_.written,
                              seen_by_caller(), members());
        answer = row.empty() ? not_found() : LocalAnswer{200, "application/json", std::move(row), {}};
        break;
    }
    case Handling::ps: answer.body = co_await ask_ps(context_, options_->own_id, seen_by_caller(), members()); break;
    case Handling::status: answer.body = co_await ask_status(context_, options_->own_id, members()); break;
    case Handling::redirect: answer = redirect_to(route_, head.method); break;
    case Handling::wrong_method:
        answer = {405, plain, "405 method not allowed", {}};
        answer.fields.add("Allow", route_.allow);
        break;
    default: answer = not_found(); break;
    }
    co_await say(std::move(answer));
}

LocalAnswer Exchange::not_found() const { return {404, plain, "404 page not found", {}}; }

/// As many as the scheduler reckons with for such a prompt: by what a token of the model was long so far.
net::Task<void> Exchange::count_tokens()
{
    if (streamed_) {
        client_.close_after();
        co_return co_await say(problem_of(base::Errc::too_large));
    }
    // Who asks wants to stay below a limit, the scheduler to be right on average: the dearest image that people send.
    constexpr double image_tokens_most = 1500;
    const auto told = co_await context_.scheduler.explain(profile_);
    const double tokens = told.prompt_tokens + peek_.images * (image_tokens_most - fleet::image_tokens);
    co_await say(LocalAnswer{200, "application/json", "{\"input_tokens\":" + std::to_string(std::lround(std::ceil(tokens))) + "}", {}});
}

// ---- changes on every holder -----------------------------------------------------------------------------

net::Task<void> Exchange::unload()
{
    Broadcast what{.method = "POST", .path = {}, .body = {}, .timeout = std::chrono::seconds{30},
                   .all_or_error = false, .rereads = false};
    co_await to_holders(std::move(what), model_.key, model_.text);
}

net::Task<void> Exchange::remove()
{
    Broadcast what{.method = "DELETE", .path = {}, .body = {}};
    co_await to_holders(std::move(what), model_.key, model_.text);
}

/// What is meant to stay on one of `targets` is not deleted there, unless that is meant too.
std::optional<Problem> Exchange::not_to_delete(const fleet::Snapshot& snapshot, const std::vector<Target>& targets) const
{
    if (!peek_.force && is_pinned(*options_, model_.key, snapshot, targets)) {
        return Problem{409, "conflict", "model '" + model_.text + "' is pinned: unpin it first, or send \"force\": true"};
    }
    const std::string* where = required_where(*options_, model_.key, snapshot, targets);
    if (where != nullptr && !peek_.force) {
        return Problem{409, "conflict", "model '" + model_.text + "' is required " + *where + ": take it out there first, or send \"force\": true"};
    }
    if (where != nullptr) {
        context_.shared->unrequire(model_.key); // before the nodes lack it, or it would be pulled again
    }
    return std::nullopt;
}

net::Task<void> Exchange::copy()
{
    if (peek_.empty) {
        co_return co_await say(bad_request("missing request body"));
    }
    if (peek_.broken) {
        auto fault = go_json_fault(body_);
        co_return co_await say(bad_request(fault.empty() ? "source and destination must be strings" : fault));
    }
    const auto source = fleet::ModelName::parse(peek_.source);
    if (!source.valid) {
        co_return co_await say(bad_request("source \"" + peek_.source + "\" is invalid"));
    }
    if (!fleet::ModelName::parse(peek_.destination).valid) {
        co_return co_await say(bad_request("destination \"" + peek_.destination + "\" is invalid"));
    }
    record_.requested_model = peek_.source;
    Broadcast what{.method = "POST", .path = {}, .body = {}};
    co_await to_holders(std::move(what), source.key, peek_.source);
}

net::Task<void> Exchange::to_holders(Broadcast what, const std::string& key, const std::string& model)
{
    if (streamed_) {
        client_.close_after();
        co_return co_await say(problem_of(base::Errc::too_large));
    }
    const auto snapshot = co_await context_.scheduler.fresh_snapshot();
    auto targets = holders_of(*snapshot, key, wishes_);
    if (targets.empty()) {
        const bool nobody = snapshot->routable().empty();
        co_return co_await say(nobody ? problem_of(base::Errc::no_node) : model_not_found(route_, model));
    }
    if (route_.handling == Handling::remove) {
        if (auto problem = not_to_delete(*snapshot, targets)) {
            co_return co_await say(std::move(*problem));
        }
    }
    what.path = visit_.target();
    what.body = body_;
    for (const auto& target : targets) {
        record_.node.append(record_.node.empty() ? "" : ",").append(target.name);
    }
    record_.model = as_listed(*snapshot, key, model);
    const bool some_will_do = !what.all_or_error;
    auto done = co_await broadcast(context_, options_->own_id, std::move(targets), std::move(what));
    record_.attempts = std::move(done.attempts);
    std::string did;
    for (const auto& one : record_.attempts) {
        if (one.outcome == fleet::Result::served) {
            did.append(did.empty() ? "" : ",").append(one.node);
        }
    }
    visit_.stamp_proxied(done.answer.fields, some_will_do && !did.empty() ? did : record_.node, 0);
    co_await say(std::move(done.answer));
}

// ---- saying it -------------------------------------------------------------------------------------------

net::Task<void> Exchange::say(LocalAnswer answer)
{
    co_await quiet();
    if (client_.begun()) {
        co_return co_await say_in_stream(node_said(answer.status, answer.body));
    }
    http::ResponseHead head;
    head.status = answer.status;
    if (!answer.content_type.empty()) {
        head.fields.add("Content-Type", answer.content_type);
    }
    for (const auto field : answer.fields) {
        head.fields.add(field.name, field.value);
    }
    visit_.stamp(head.fields);
    const bool bodyless = answer.status == 204;
    head.framing = bodyless ? http::Framing::none : http::Framing::length;
    head.content_length = answer.body.size();
    record_.status = answer.status;
    record_.first_byte = context_.loop.now() - began_;
    if (visit_.caller_) {
        visit_.caller_->leave();
    }
    const auto said = co_await client_.respond(std::move(head), answer.body);
    if (!said) {
        client_left(Stage::data);
    }
}

net::Task<void> Exchange::say(Problem problem, char who, Stage stage)
{
    ended(who, stage);
    co_await quiet();
    if (client_.begun()) {
        co_return co_await say_in_stream(std::move(problem));
    }
    auto text = error_text(route_.dialect, problem);
    LocalAnswer answer{problem.status, text.content_type, std::move(text.body), {}};
    if (const int seconds = retry_after_seconds(problem.retry_after); seconds > 0) {
        answer.fields.add("Retry-After", std::to_string(seconds));
    }
    if (problem.status == 401) {
        answer.fields.add("WWW-Authenticate", "Bearer realm=\"herd\"");
    }
    if (problem.code == "cancelled") {
        answer.fields.add("x-should-retry", "false"); // OpenAI's and Anthropic's clients try a 503 again otherwise
    }
    record_.error = problem.message.substr(0, 512);
    co_await say(std::move(answer));
}

net::Task<void> Exchange::turn_away()
{
    client_.close_after();
    return say({503, "unavailable", "too many requests at once", std::chrono::seconds{1}}, 'P', Stage::reading);
}

} // namespace herd::proxy
