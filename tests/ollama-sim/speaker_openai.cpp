#include "speaker.hpp"

#include <nlohmann/json.hpp>

namespace herd::sim {

namespace {

using Json = nlohmann::ordered_json;

std::int64_t unix_seconds(base::WallTime time) { return time.time_since_epoch().count() / 1'000'000; }

Json usage_of(const Spoken& all)
{
    return {{"prompt_tokens", all.prompt_tokens},
            {"completion_tokens", all.output_tokens},
            {"total_tokens", all.prompt_tokens + all.output_tokens}};
}

class OpenAi final : public Speaker {
public:
    explicit OpenAi(const SpeakerOptions& options)
        : chat_(options.path == "/v1/chat/completions"), usage_(options.include_usage),
          id_((chat_ ? "chatcmpl-" : "cmpl-") + std::to_string(options.seed % 999)), created_(unix_seconds(options.now))
    {
    }

    std::string_view stream_type() const override { return "text/event-stream"; }
    std::string piece(const Spoken& so_far, std::string_view token) override
    {
        Json delta{{"role", "assistant"}, {"content", token}};
        return event(chunk(so_far.model, chat_ ? choice(delta, nullptr) : completion(token, nullptr)));
    }
    std::string closing(const Spoken& all) override
    {
        std::string out = event(chunk(all.model, chat_ ? choice(Json::object(), all.done_reason)
                                                       : completion("", all.done_reason)));
        if (usage_) {
            Json last = chunk(all.model, Json::array());
            last["usage"] = usage_of(all);
            out += event(last);
        }
        return out + "data: [DONE]\n\n";
    }
    std::string whole(const Spoken& all) override
    {
        Json json{{"id", id_}, {"object", chat_ ? "chat.completion" : "text_completion"}, {"created", created_}};
        json["model"] = all.model;
        json["system_fingerprint"] = "fp_ollama";
        if (chat_) {
            json["choices"] = Json::array({{{"index", 0},
                                            {"message", {{"role", "assistant"}, {"content", all.text}}},
                                            {"finish_reason", all.done_reason}}});
        } else {
            json["choices"] = completion(all.text, all.done_reason);
        }
        json["usage"] = usage_of(all);
        return json.dump() + '\n';
    }
    // Ollama swallows errors in these streams: an empty chunk without a model, and no [DONE].
    std::string error_line(std::string_view) override
    {
        return event(chunk("", chat_ ? choice({{"content", ""}}, nullptr) : completion("", nullptr)));
    }

private:
    static std::string event(const Json& json) { return "data: " + json.dump() + "\n\n"; }
    static Json choice(Json delta, Json reason)
    {
        return Json::array({{{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", std::move(reason)}}});
    }
    static Json completion(std::string_view text, Json reason)
    {
        return Json::array({{{"text", text}, {"index", 0}, {"finish_reason", std::move(reason)}}});
    }
    Json chunk(std::string_view model, Json choices) const
    {
        Json json{{"id", id_}, {"object", chat_ ? "chat.completion.chunk" : "text_completion"}, {"created", created_}};
        if (chat_) {
            json["model"] = model;
            json["system_fingerprint"] = "fp_ollama";
            json["choices"] = std::move(choices);
        } else {
            json["choices"] = std::move(choices);
            json["model"] = model;
            json["system_fingerprint"] = "fp_ollama";
        }
        return json;
    }

    bool chat_;
    bool usage_;
    std::string id_;
    std::int64_t created_;
};

class Responses final : public Speaker {
public:
    explicit Responses(const SpeakerOptions& options)
        : id_(std::to_string(options.seed % 1'000'000)), created_(unix_seconds(options.now))
    {
    }

    std::string_view stream_type() const override { return "text/event-stream"; }
    std::string opening(const Spoken& so_far) override
    {
        const Json item{{"content", Json::array()}, {"id", "msg_" + id_}, {"role", "assistant"}, {"status", "in_progress"}, {"type", "message"}};
        return event("response.created", {{"response", response(so_far, "in_progress")}})
            + event("response.in_progress", {{"response", response(so_far, "in_progress")}})
            + event("response.output_item.added", {{"item", item}, {"output_index", 0}})
            + event("response.content_part.added", {{"content_index", 0}, {"item_id", "msg_" + id_}, {"output_index", 0}, {"part", part("")}});
    }
    std::string piece(const Spoken&, std::string_view token) override
    {
        return event("response.output_text.delta", {{"content_index", 0}, {"delta", token}, {"item_id", "msg_" + id_}, {"logprobs", Json::array()}, {"output_index", 0}});
    }
    std::string closing(const Spoken& all) override
    {
        return event("response.output_text.done", {{"content_index", 0}, {"item_id", "msg_" + id_}, {"logprobs", Json::array()}, {"output_index", 0}, {"text", all.text}})
            + event("response.content_part.done", {{"content_index", 0}, {"item_id", "msg_" + id_}, {"output_index", 0}, {"part", part(all.text)}})
            + event("response.output_item.done", {{"item", message(all)}, {"output_index", 0}})
            + event("response.completed", {{"response", response(all, "completed")}});
    }
    std::string whole(const Spoken& all) override { return response(all, "completed").dump() + '\n'; }
    std::string error_line(std::string_view) override { return {}; }

private:
    static Json part(std::string_view text)
    {
        return {{"annotations", Json::array()}, {"logprobs", Json::array()}, {"text", text}, {"type", "output_text"}};
    }
    Json message(const Spoken& all) const
    {
        return {{"content", Json::array({part(all.text)})}, {"id", "msg_" + id_}, {"role", "assistant"}, {"status", "completed"}, {"type", "message"}};
    }
    Json response(const Spoken& all, const char* status) const
    {
        const bool done = std::string_view{status} == "completed";
        Json json{{"background", false}, {"completed_at", done ? Json(created_) : Json(nullptr)}, {"created_at", created_}, {"error", nullptr}};
        json["id"] = "resp_" + id_;
        json["model"] = all.model;
        json["object"] = "response";
        json["output"] = done ? Json::array({message(all)}) : Json::array();
        json["status"] = status;
        json["usage"] = done ? Json{{"input_tokens", all.prompt_tokens},
                                    {"input_tokens_details", {{"cached_tokens", 0}}},
                                    {"output_tokens", all.output_tokens},
                                    {"output_tokens_details", {{"reasoning_tokens", 0}}},
                                    {"total_tokens", all.prompt_tokens + all.output_tokens}}
                             : Json(nullptr);
        return json;
    }
    std::string event(const char* type, Json json)
    {
        json["sequence_number"] = sequence_++;
        json["type"] = type;
        return std::string{"event: "} + type + "\ndata: " + json.dump() + "\n\n";
    }

    std::string id_;
    std::int64_t created_;
    int sequence_{0};
};

} // namespace

std::unique_ptr<Speaker> make_openai_speaker(const SpeakerOptions& options) { return std::make_unique<OpenAi>(options); }
std::unique_ptr<Speaker> make_responses_speaker(const SpeakerOptions& options)
{
    return std::make_unique<Responses>(options);
}

} // namespace herd::sim
