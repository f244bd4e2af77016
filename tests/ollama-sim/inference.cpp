// Generation and embedding: everything that takes a slot.
#include "box.hpp"
#include "fleet/model_name.hpp"
#include "text.hpp"

#include <algorithm>

namespace herd::sim {

namespace {

std::string content_of(const Json& content)
{
    if (content.is_string()) {
        return content.get<std::string>();
    }
    std::string text;
    if (content.is_array()) {
        for (const Json& part : content) {
            text += text_of(part, "text");
        }
    }
    return text;
}

/// The prompt as the template would render it: what the prompt cache sees.
std::string prompt_of(std::string_view path, const Json& body)
{
    std::string prompt;
    const Json& tools = field(body, "tools");
    if (tools.is_array() && !tools.empty()) {
        prompt += tools.dump() + '\n';
    }
    const Json& system = field(body, "system");
    if (!system.is_null()) {
        prompt += "system: " + content_of(system) + '\n';
    }
    const Json& messages = field(body, path == "/v1/responses" ? "input" : "messages");
    if (messages.is_array()) {
        for (const Json& message : messages) {
            prompt += text_of(message, "role") + ": " + content_of(field(message, "content")) + '\n';
        }
    } else if (messages.is_string()) {
        prompt += messages.get<std::string>();
    }
    return prompt + text_of(body, "prompt");
}

std::optional<std::int64_t> whole_number(const Json& value)
{
    return value.is_number() ? std::optional{value.get<std::int64_t>()} : std::nullopt;
}

/// The load-time options, or Ollama's complaint about a wrong type.
std::expected<LoadOptions, std::string> load_options(const Json& options)
{
    LoadOptions result;
    if (!options.is_object()) {
        return result;
    }
    for (const char* name : {"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"}) {
        const Json& value = field(options, name);
        if (value.is_null()) {
            continue;
        }
        const bool flag = std::string_view{name} == "use_mmap";
        if (flag ? !value.is_boolean() : !value.is_number()) {
            return std::unexpected(std::string{"option \""} + name + "\" must be of type " + (flag ? "boolean" : "integer"));
        }
        if (std::string_view{name} == "num_ctx") {
            result.num_ctx = value.get<int>();
        } else {
            result.others += std::string{name} + '=' + value.dump() + ';';
        }
    }
    return result;
}

/// What Ollama says of values it checks before it looks for the model; empty when all is well.
std::string wrong_value(const Json& body)
{
    const Json& think = field(body, "think");
    if (think.is_string()) {
        const std::string value = think.get<std::string>();
        if (value != "high" && value != "medium" && value != "low" && value != "max") {
            return "invalid think value: \"" + value + "\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)";
        }
    }
    const auto top = whole_number(field(body, "top_logprobs"));
    return top && (*top < 0 || *top > 20) ? "top_logprobs must be between 0 and 20" : "";
}

std::size_t length_of(std::string_view path, const Json& body, std::string_view prompt, std::string_view model, bool& limited)
{
    const Json& options = field(body, "options");
    std::optional<std::int64_t> limit;
    if (path.starts_with("/api/")) {
        limit = options.is_object() ? whole_number(field(options, "num_predict")) : std::nullopt;
    } else {
        limit = whole_number(field(body, path == "/v1/responses" ? "max_output_tokens" : "max_tokens"));
    }
    const std::size_t natural = natural_length(model, prompt);
    if (!limit || *limit < 0) {
        return natural;
    }
    // "num_predict" decides the length outright, so that tests can ask for long answers.
    limited = true;
    return static_cast<std::size_t>(std::clamp<std::int64_t>(*limit, 1, 1'000'000));
}

} // namespace

/// One answer being produced.
struct Generation {
    Box& box;
    http::ServerExchange& exchange;
    std::shared_ptr<Job> job;
    std::string path;
    bool stream;
    Spoken spoken;
    std::unique_ptr<Speaker> speaker;
    std::optional<Fault> fault;
    base::Instant began;

    [[nodiscard]] bool faulty(std::string_view kind, std::size_t after) const
    {
        return fault && fault->kind == kind && static_cast<std::size_t>(fault->after) == after;
    }

    net::Task<bool> say(std::string bytes)
    {
        if (bytes.empty()) {
            co_return true;
        }
        const std::array<std::string_view, 1> pieces{bytes};
        co_return (co_await exchange.write(pieces)).has_value();
    }

    /// True when a fault ended the answer here.
    net::Task<bool> misbehave(std::size_t after)
    {
        if (faulty("die", after)) {
            exchange.abort();
            co_return true;
        }
        if (faulty("stall", after)) {
            (void)co_await job->until(began + std::chrono::hours{24});
            exchange.abort();
            co_return true;
        }
        if (faulty("error", after) || faulty("truncate", after)) {
            if (!stream || (after == 0 && fault->kind == "error")) {
                co_await box.fail(exchange, path, 500, fault->error);
                co_return true;
            }
            if (fault->kind == "error") {
                (void)co_await say(speaker->error_line(fault->error));
            }
            (void)co_await exchange.end();
            co_return true;
        }
        co_return false;
    }

    void open_stream()
    {
        http::ResponseHead head;
        head.framing = http::Framing::chunked;
        head.fields.add("Content-Type", speaker->stream_type());
        exchange.begin(std::move(head));
    }

    net::Task<void> run(Machine::Seat& seat, std::string prompt, std::size_t length, bool limited)
    {
        const double factor = fault && fault->kind == "slow" ? fault->factor : 1;
        const std::size_t cached = std::min(tokens_of(seat.cached_chars()), tokens_of(prompt.size()));
        spoken.prompt_tokens = static_cast<std::int64_t>(std::max<std::size_t>(1, tokens_of(prompt.size())));
        spoken.cached_tokens = static_cast<std::int64_t>(cached);
        spoken.load = seat.load();
        const double prefill = factor * static_cast<double>(spoken.prompt_tokens - spoken.cached_tokens + 1)
            / box.options_.prefill_tokens_per_s;
        spoken.prompt_eval = base::Duration{static_cast<std::int64_t>(prefill * 1e9)};
        base::Instant due = box.loop_.now() + spoken.prompt_eval;
        const base::Instant decode_began = due;
        if (!co_await job->until(due)) {
            co_return;
        }
        const std::string whole_prompt = prompt;
        for (std::size_t i = 0; i <= length; ++i) {
            if (co_await misbehave(i)) {
                co_return;
            }
            if (i == length) {
                break;
            }
            due += base::Duration{static_cast<std::int64_t>(factor * static_cast<double>(box.machine_.token_time(seat.runner()).count()))};
            if (!co_await job->until(due)) {
                co_return;
            }
            const std::string word = token(seat.runner().model.blob, whole_prompt, i);
            spoken.text += word;
            spoken.output_tokens = static_cast<std::int64_t>(i) + 1;
            spoken.total = box.loop_.now() - began;
            if (stream) {
                if (i == 0) {
                    open_stream();
                    if (!co_await say(speaker->opening(spoken))) {
                        co_return;
                    }
                }
                if (!co_await say(speaker->piece(spoken, word))) {
                    co_return;
                }
            }
        }
        spoken.eval = box.loop_.now() - decode_began;
        spoken.total = box.loop_.now() - began;
        spoken.done_reason = limited && length < natural_length(seat.runner().model.blob, whole_prompt) ? "length" : "stop";
        seat.remember(whole_prompt + spoken.text);
        if (stream) {
            const std::string last = speaker->closing(spoken);
            const std::array<std::string_view, 1> pieces{last};
            if ((co_await exchange.write(pieces)).has_value()) {
                (void)co_await exchange.end(); // Go sends the last chunk by itself
            }
        } else {
            const bool native = path.starts_with("/api/");
            co_await box.reply(exchange, 200, speaker->whole(spoken),
                               native ? "application/json; charset=utf-8" : "application/json");
        }
    }
};

net::Task<void> Box::infer(Exchange& exchange, std::string path, Json body)
{
    const bool native = path.starts_with("/api/");
    const std::string model_name = text_of(body, "model");
    const bool chat = path == "/api/chat";
    if (model_name.empty() && path != "/api/generate") {
        co_return co_await fail(exchange, path, 400, "model is required");
    }
    if (path == "/v1/messages" && whole_number(field(body, "max_tokens")).value_or(0) <= 0) {
        co_return co_await fail(exchange, path, 400, "max_tokens is required and must be positive");
    }
    const Json& messages = field(body, "messages");
    if (path == "/v1/chat/completions" && (!messages.is_array() || messages.empty())) {
        co_return co_await fail(exchange, path, 400, "[] is too short - 'messages'");
    }
    const auto keep_alive = keep_alive_ns(body);
    if (!keep_alive) {
        co_return co_await fail(exchange, path, 400, keep_alive.error());
    }
    if (const std::string complaint = wrong_value(body); !complaint.empty()) {
        co_return co_await fail(exchange, path, 400, complaint);
    }
    if (model_name.ends_with(":cloud:local") || model_name.ends_with(":local:cloud")) {
        co_return co_await fail(exchange, path, 400, "use either :local or :cloud, not both: \"" + model_name + '"');
    }
    const auto name = fleet::ModelName::parse(model_name);
    if (name.cloud) { // in the native shape whatever the API, as Ollama does
        co_return co_await reply(exchange, 403, R"({"error":"ollama cloud is disabled: remote model is unavailable"})");
    }
    if (!model_name.empty() && !name.valid) {
        co_return co_await fail(exchange, path, 400, "invalid model name");
    }
    const StoredModel* found = model_name.empty() ? nullptr : store_.find(model_name);
    if (found == nullptr) {
        co_return co_await fail(exchange, path, 404, "model '" + model_name + "' not found");
    }
    const StoredModel model = *found;
    const bool empty = native && (chat ? !messages.is_array() || messages.empty() : text_of(body, "prompt").empty());
    Spoken spoken;
    spoken.model = model_name;
    const SpeakerOptions speaker_options{.path = path,
                                         .model = model_name,
                                         .include_usage = field(field(body, "stream_options"), "include_usage") == true,
                                         .seed = ++counter_ * 7919,
                                         .now = loop_.wall()};
    auto speaker = make_speaker(speaker_options);
    if (empty && keep_alive->has_value() && **keep_alive == 0) {
        machine_.unload(model.blob);
        spoken.done_reason = "unload";
        co_return co_await reply(exchange, 200, speaker->whole(spoken));
    }
    if (model.embeds) {
        co_return co_await fail(exchange, path, 400, '"' + model_name + "\" does not support " + (path == "/api/generate" ? "generate" : "chat"));
    }
    const auto options = load_options(field(body, "options"));
    if (!options) {
        co_return co_await fail(exchange, path, 500, options.error());
    }
    const auto job = std::make_shared<Job>(loop_);
    exchange.on_client_gone([job] { job->cancel(); });
    const auto fault = faults_.take(path);
    if (fault && fault->kind == "hang") {
        ++machine_.tally.requests;
        (void)co_await job->until(loop_.now() + std::chrono::hours{24});
        ++machine_.tally.cancelled;
        co_return;
    }
    if (fault && fault->kind == "reset") {
        co_return exchange.abort();
    }
    if (fault && fault->kind == "status") {
        co_return co_await fail(exchange, path, fault->status, fault->error);
    }
    const base::Instant began = loop_.now();
    const std::string prompt = prompt_of(path, body);
    const auto keep = keep_alive->has_value() ? std::optional{base::Duration{**keep_alive}} : std::nullopt;
    auto seat = co_await machine_.seat(*job, model, *options, keep, prompt);
    if (!seat) {
        if (!seat.error().cancelled) {
            co_await fail(exchange, path, seat.error().status, seat.error().message);
        }
        co_return;
    }
    if (empty) {
        spoken.done_reason = "load";
        co_return co_await reply(exchange, 200, speaker->whole(spoken));
    }
    bool limited = false;
    const std::size_t length = length_of(path, body, prompt, model.blob, limited);
    const Json& wants_stream = field(body, "stream");
    const bool stream = wants_stream.is_boolean() ? wants_stream.get<bool>() : native;
    Generation generation{*this, exchange, job, path, stream, std::move(spoken), std::move(speaker), fault, began};
    co_await generation.run(**seat, prompt, length, limited);
    if (job->cancelled()) {
        ++machine_.tally.cancelled;
    }
    exchange.on_client_gone(nullptr);
}

net::Task<void> Box::embed(Exchange& exchange, std::string path, Json body)
{
    const std::string model_name = text_of(body, "model");
    const bool legacy = path == "/api/embeddings";
    const Json& input = field(body, legacy ? "prompt" : "input");
    if (model_name.empty()) {
        co_return co_await fail(exchange, path, 400, "model is required");
    }
    std::vector<std::string> texts;
    if (input.is_string()) {
        texts.push_back(input.get<std::string>());
    } else if (input.is_array()) {
        for (const Json& one : input) {
            if (!one.is_string()) {
                co_return co_await fail(exchange, path, 400, "invalid input type");
            }
            texts.push_back(one.get<std::string>());
        }
    } else if (!input.is_null()) {
        co_return co_await fail(exchange, path, 400, "invalid input type");
    }
    const auto keep_alive = path == "/v1/embeddings" ? keep_alive_ns(Json::object()) : keep_alive_ns(body);
    if (!keep_alive) {
        co_return co_await fail(exchange, path, 400, keep_alive.error());
    }
    const StoredModel* found = store_.find(model_name);
    if (found == nullptr) {
        co_return co_await fail(exchange, path, 404, "model \"" + model_name + "\" not found, try pulling it first");
    }
    const StoredModel model = *found;
    const auto job = std::make_shared<Job>(loop_);
    exchange.on_client_gone([job] { job->cancel(); });
    if (const auto fault = faults_.take(path); fault && fault->kind == "status") {
        co_return co_await fail(exchange, path, fault->status, fault->error);
    }
    const base::Instant began = loop_.now();
    const auto keep = keep_alive->has_value() ? std::optional{base::Duration{**keep_alive}} : std::nullopt;
    auto seat = co_await machine_.seat(*job, model, {}, keep, "");
    if (!seat) {
        if (!seat.error().cancelled) {
            co_await fail(exchange, path, seat.error().status, seat.error().message);
        }
        co_return;
    }
    std::int64_t tokens = 0;
    Json vectors = Json::array();
    for (const std::string& text : texts) {
        tokens += static_cast<std::int64_t>(tokens_of(text.size()));
        vectors.push_back(embedding(model.blob, text));
    }
    const auto busy = base::Duration{static_cast<std::int64_t>(1e9 * static_cast<double>(tokens) / options_.prefill_tokens_per_s)};
    if (!co_await job->until(loop_.now() + busy)) {
        ++machine_.tally.cancelled;
        co_return;
    }
    Json answer;
    if (legacy) {
        answer = {{"embedding", vectors.empty() ? Json::array() : vectors.front()}};
    } else if (path == "/v1/embeddings") {
        Json data = Json::array();
        for (std::size_t i = 0; i < vectors.size(); ++i) {
            data.push_back({{"object", "embedding"}, {"embedding", vectors[i]}, {"index", i}});
        }
        answer = {{"object", "list"}, {"data", data}, {"model", model_name}, {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
    } else {
        answer = {{"model", model_name},
                  {"embeddings", vectors},
                  {"total_duration", (loop_.now() - began).count()},
                  {"load_duration", (*seat)->load().count()},
                  {"prompt_eval_count", tokens}};
    }
    co_await reply(exchange, 200, answer.dump(), path == "/v1/embeddings" ? "application/json" : "application/json; charset=utf-8");
    exchange.on_client_gone(nullptr);
}

} // namespace herd::sim
