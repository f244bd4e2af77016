#include "speaker.hpp"
#include "store.hpp"

#include <nlohmann/json.hpp>

namespace herd::sim {

namespace {

using Json = nlohmann::ordered_json;

void add_timings(Json& json, const Spoken& all)
{
    // Zero-valued metrics are omitted, as Go's omitempty does.
    const auto add = [&](const char* name, std::int64_t value) {
        if (value != 0) {
            json[name] = value;
        }
    };
    add("total_duration", all.total.count());
    add("load_duration", all.load.count());
    add("prompt_eval_count", all.prompt_tokens);
    add("prompt_eval_duration", all.prompt_eval.count());
    add("eval_count", all.output_tokens);
    add("eval_duration", all.eval.count());
}

class Native final : public Speaker {
public:
    explicit Native(const SpeakerOptions& options)
        : chat_(options.path == "/api/chat"), began_(options.now)
    {
    }

    std::string_view stream_type() const override { return "application/x-ndjson"; }
    std::string piece(const Spoken& so_far, std::string_view token) override
    {
        Json json = head(so_far, token);
        json["done"] = false;
        return json.dump() + '\n';
    }
    std::string closing(const Spoken& all) override { return last(all, "").dump() + '\n'; }
    std::string whole(const Spoken& all) override { return last(all, all.text).dump(); }
    std::string error_line(std::string_view message) override { return Json{{"error", message}}.dump() + '\n'; }

private:
    Json head(const Spoken& spoken, std::string_view text) const
    {
        const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(spoken.total);
        Json json{{"model", spoken.model}, {"created_at", go_time(began_ + elapsed)}};
        if (chat_) {
            json["message"] = {{"role", "assistant"}, {"content", text}};
        } else {
            json["response"] = text;
        }
        return json;
    }
    Json last(const Spoken& all, std::string_view text) const
    {
        Json json = head(all, text);
        json["done"] = true;
        json["done_reason"] = all.done_reason;
        if (!chat_ && all.output_tokens > 0) {
            Json context = Json::array();
            for (std::int64_t i = 0; i < all.prompt_tokens + all.output_tokens; ++i) {
                context.push_back(1000 + i);
            }
            json["context"] = std::move(context);
        }
        add_timings(json, all);
        return json;
    }

    bool chat_;
    base::WallTime began_;
};

} // namespace

std::unique_ptr<Speaker> make_native_speaker(const SpeakerOptions& options) { return std::make_unique<Native>(options); }

std::unique_ptr<Speaker> make_speaker(const SpeakerOptions& options)
{
    if (options.path == "/v1/chat/completions" || options.path == "/v1/completions") {
        return make_openai_speaker(options);
    }
    if (options.path == "/v1/responses") {
        return make_responses_speaker(options);
    }
    if (options.path == "/v1/messages") {
        return make_anthropic_speaker(options);
    }
    return make_native_speaker(options);
}

std::string error_body(std::string_view path, int status, std::string_view message)
{
    if (path == "/v1/messages") {
        const char* type = status == 404 ? "not_found_error" : status == 400 ? "invalid_request_error" : "api_error";
        return Json{{"type", "error"},
                    {"error", {{"type", type}, {"message", message}}},
                    {"request_id", "req_" + sha256_hex(message).substr(0, 24)}}
            .dump();
    }
    if (path.starts_with("/v1/")) {
        const char* type = status == 404 ? "not_found_error" : status == 400 ? "invalid_request_error" : "api_error";
        return Json{{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}}.dump();
    }
    return Json{{"error", message}}.dump();
}

} // namespace herd::sim
