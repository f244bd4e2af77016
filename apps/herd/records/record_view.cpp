#include "herd/records/record_view.hpp"

#include "herd/admin/decision_view.hpp"
#include "herd/admin/views.hpp"
#include "herd/records/packed_decision.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json)
{
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Milliseconds with three digits behind the point.
double ms(base::Duration duration)
{
    return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count()) / 1000.0;
}

std::optional<base::Duration> if_told(base::Duration duration)
{
    return duration > base::Duration{} ? std::optional{duration} : std::nullopt;
}

std::optional<std::int64_t> if_told(std::int64_t count) { return count > 0 ? std::optional{count} : std::nullopt; }

/// By the node's own clock; else from the first byte to the last of a stream.
std::optional<double> tokens_per_s(const proxy::ExchangeRecord& record)
{
    const auto tokens = static_cast<double>(record.timings.output_tokens);
    if (record.timings.eval > base::Duration{} && tokens > 0) {
        return tokens / base::seconds(record.timings.eval);
    }
    const double span = base::seconds(record.total - record.first_byte);
    if (record.stream && tokens > 1 && span > 0.001) {
        return (tokens - 1) / span;
    }
    return std::nullopt;
}

/// How much of the prompt the node had in its cache: by the time that reading it took, else as the scheduler believed.
/// Both are estimates: never more than the prompt was, and nothing where the node did not say how long it was.
std::optional<std::int64_t> cached_tokens(const proxy::ExchangeRecord& record)
{
    if (!record.decision || !record.decision->chosen || record.timings.prompt_tokens <= 0) {
        return std::nullopt;
    }
    for (const fleet::Weighed& one : record.decision->candidates) {
        if (one.node == *record.decision->chosen) {
            const bool timed = record.timings.prompt_eval > base::Duration{};
            const double count = timed ? fleet::estimate_cached_tokens(record.timings, one.prefill_rate) : one.cached_tokens;
            return if_told(std::min<std::int64_t>(std::llround(count), record.timings.prompt_tokens));
        }
    }
    return std::nullopt;
}

template <class T>
void put_if(Json& json, const char* key, const std::optional<T>& value)
{
    if (value) {
        json[key] = *value;
    }
}

void put_if(Json& json, const char* key, const std::optional<base::Duration>& value)
{
    if (value) {
        json[key] = ms(*value);
    }
}

void put_if(Json& json, const char* key, const std::string& value)
{
    if (!value.empty()) {
        json[key] = value;
    }
}

/// What the node measured but did not name: its own queue.
std::optional<base::Duration> queue_in_node(const store::RequestRecord& record)
{
    if (!record.eval || record.attempts.empty()) {
        return std::nullopt;
    }
    const auto known = record.load.value_or(base::Duration{}) + record.prompt_eval.value_or(base::Duration{}) + *record.eval;
    return std::max(base::Duration{}, record.attempts.back().took - known);
}

/// Whether the node was believed to have part of the prompt in its cache; nothing without a decision.
std::string affinity_of(const store::RequestRecord& record, const std::optional<fleet::Decision>& decision)
{
    if (!decision || !decision->chosen) {
        return {};
    }
    const auto chosen = std::ranges::find(decision->candidates, *decision->chosen, &fleet::Weighed::node);
    if (chosen == decision->candidates.end()) {
        return {};
    }
    return chosen->cached_tokens > 0 ? "hit" : record.session.empty() ? "none" : "new";
}

Json to_json(const store::RequestRecord& record)
{
    Json attempts = Json::array();
    for (const store::RecordedAttempt& attempt : record.attempts) {
        attempts.push_back({{"node", attempt.node}, {"outcome", attempt.outcome}, {"ms", ms(attempt.took)}});
    }
    Json json{{"id", record.id}, {"at", admin::timestamp(record.at)}, {"client", record.client}};
    put_if(json, "key", record.key);
    json["frontend"] = record.frontend;
    json["api"] = record.api;
    json["method"] = record.method;
    json["path"] = record.path;
    json["model"] = record.model;
    json["requested_model"] = record.requested_model;
    json["node"] = record.node;
    json["attempts"] = std::move(attempts);
    json["status"] = record.status;
    json["termination"] = record.termination;
    json["stream"] = record.stream;
    json["tags"] = record.tags;
    put_if(json, "session", record.session);
    json["priority"] = record.priority;
    put_if(json, "prompt_tokens", record.prompt_tokens);
    put_if(json, "cached_tokens", record.cached_tokens);
    put_if(json, "output_tokens", record.output_tokens);
    json["queue_ms"] = ms(record.queue);
    put_if(json, "load_ms", record.load);
    json["connect_ms"] = ms(record.connect);
    json["ttft_ms"] = ms(record.ttft);
    json["total_ms"] = ms(record.total);
    json["bytes_in"] = record.bytes_in;
    json["bytes_out"] = record.bytes_out;
    if (record.tokens_per_s) {
        json["tokens_per_s"] = std::round(*record.tokens_per_s * 100) / 100;
    }
    if (record.fallback) {
        json["fallback"] = true;
    }
    put_if(json, "error", record.error);
    return json;
}

} // namespace

std::string_view priority_name(fleet::Priority priority)
{
    switch (priority) {
    case fleet::Priority::interactive: return "interactive";
    case fleet::Priority::normal: return "normal";
    case fleet::Priority::batch: return "batch";
    }
    return "normal";
}

void store_form(proxy::ExchangeRecord&& record, store::RequestRecord& out)
{
    out.tokens_per_s = tokens_per_s(record);
    out.cached_tokens = cached_tokens(record);
    if (record.decision) {
        out.decision = pack_decision(*record.decision);
    }
    out.id = std::move(record.id);
    out.at = record.at;
    out.client = record.client.address.text();
    out.key = std::move(record.key);
    out.frontend = std::move(record.frontend);
    out.api = record.api;
    out.method = std::move(record.method);
    out.path = std::move(record.path);
    out.model = std::move(record.model);
    out.requested_model = std::move(record.requested_model);
    out.node = std::move(record.node);
    for (proxy::AttemptRecord& attempt : record.attempts) {
        out.attempts.push_back({std::move(attempt.node), std::string{fleet::to_string(attempt.outcome)}, attempt.took});
    }
    out.status = record.status;
    out.termination = std::move(record.termination);
    out.stream = record.stream;
    out.tags = std::move(record.tags);
    out.session = std::move(record.session);
    out.priority = priority_name(record.priority);
    out.prompt_tokens = if_told(record.timings.prompt_tokens);
    out.output_tokens = if_told(record.timings.output_tokens);
    out.queue = record.queue;
    out.connect = record.connect;
    out.ttft = record.first_byte;
    out.total = record.total;
    out.load = if_told(record.timings.load);
    out.prompt_eval = if_told(record.timings.prompt_eval);
    out.eval = if_told(record.timings.eval);
    out.bytes_in = record.bytes_in;
    out.bytes_out = record.bytes_out;
    out.fallback = record.fallback;
    out.error = std::move(record.error);
    out.labels = std::move(record.labels);
    out.num_ctx_asked = record.num_ctx;
    out.done_reason = std::move(record.done_reason);
    out.user_agent = std::move(record.user_agent);
}

store::RequestRecord stored_form(proxy::ExchangeRecord&& record)
{
    store::RequestRecord out;
    store_form(std::move(record), out);
    return out;
}

std::string record_json(const store::RequestRecord& record, bool detail)
{
    Json json = to_json(record);
    if (detail) {
        put_if(json, "prompt_eval_ms", record.prompt_eval);
        put_if(json, "eval_ms", record.eval);
        put_if(json, "node_queue_ms", queue_in_node(record));
        put_if(json, "num_ctx_asked", record.num_ctx_asked);
        put_if(json, "num_ctx_used", record.num_ctx_used);
        put_if(json, "done_reason", record.done_reason);
        put_if(json, "user_agent", record.user_agent);
        json["labels"] = record.labels;
        const auto decision = unpack_decision(record.decision);
        put_if(json, "affinity", affinity_of(record, decision));
        json["decision"] = decision ? Json::parse(admin::decision_json(*decision), nullptr, false) : Json(nullptr);
    }
    return text_of(json);
}

std::string in_flight_json(const proxy::InFlight& exchange)
{
    proxy::ExchangeRecord copy = exchange.record;
    Json json = to_json(stored_form(std::move(copy)));
    json["status"] = nullptr;
    json["termination"] = nullptr;
    json["phase"] = exchange.phase == 'R' ? "reading" : exchange.phase == 'Q' ? "queued" : exchange.phase == 'D' ? "streaming" : "waiting";
    return text_of(json);
}

} // namespace herd::app
