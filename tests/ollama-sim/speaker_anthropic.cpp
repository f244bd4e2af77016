#include "speaker.hpp"
#include "store.hpp"

#include <nlohmann/json.hpp>

namespace herd::sim {

namespace {

using Json = nlohmann::ordered_json;

std::string stop_reason(const Spoken& all) { return all.done_reason == "length" ? "max_tokens" : "end_turn"; }

class Anthropic final : public Speaker {
public:
    explicit Anthropic(const SpeakerOptions& options)
        : id_("msg_" + sha256_hex(std::to_string(options.seed)).substr(0, 24))
    {
    }

    std::string_view stream_type() const override { return "text/event-stream"; }
    std::string opening(const Spoken& so_far) override
    {
        const Json message{{"id", id_},
                           {"type", "message"},
                           {"role", "assistant"},
                           {"model", so_far.model},
                           {"content", Json::array()},
                           {"usage", {{"input_tokens", so_far.prompt_tokens}, {"output_tokens", 0}}}};
        return event({{"type", "message_start"}, {"message", message}})
            + event({{"type", "content_block_start"}, {"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}});
    }
    std::string piece(const Spoken&, std::string_view token) override
    {
        return event({{"type", "content_block_delta"}, {"index", 0}, {"delta", {{"type", "text_delta"}, {"text", token}}}});
    }
    std::string closing(const Spoken& all) override
    {
        return event({{"type", "content_block_stop"}, {"index", 0}})
            + event({{"type", "message_delta"},
                     {"delta", {{"stop_reason", stop_reason(all)}}},
                     {"usage", {{"input_tokens", all.prompt_tokens}, {"output_tokens", all.output_tokens}}}})
            + event({{"type", "message_stop"}});
    }
    std::string whole(const Spoken& all) override
    {
        return Json{{"id", id_},
                    {"type", "message"},
                    {"role", "assistant"},
                    {"model", all.model},
                    {"content", Json::array({{{"type", "text"}, {"text", all.text}}})},
                    {"stop_reason", stop_reason(all)},
                    {"usage", {{"input_tokens", all.prompt_tokens}, {"output_tokens", all.output_tokens}}}}
                   .dump()
            + '\n';
    }
    std::string error_line(std::string_view) override { return {}; }

private:
    static std::string event(const Json& json)
    {
        return "event: " + json["type"].get<std::string>() + "\ndata: " + json.dump() + "\n\n";
    }
    std::string id_;
};

} // namespace

std::unique_ptr<Speaker> make_anthropic_speaker(const SpeakerOptions& options)
{
    return std::make_unique<Anthropic>(options);
}

} // namespace herd::sim
