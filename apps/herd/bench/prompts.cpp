#include "herd/bench/prompts.hpp"

#include <array>

#include <nlohmann/json.hpp>

namespace herd::app::bench {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 10> sentences{
    "Explain in a few lines why the sky turns red in the evening.",
    "Write a short letter that asks a neighbour to lend out a ladder.",
    "List the steps of changing the tyre of a bicycle.",
    "What should one look at before buying a used piano?",
    "Describe a market town on a rainy morning.",
    "Write a function that tells whether a word reads the same backwards, and explain it.",
    "Compare trains and buses for a trip of three hours.",
    "Tell the story of a lighthouse keeper who finds a bottle with a map.",
    "How does yeast make bread rise?",
    "Name five ways to keep a flat cool in summer, each with its drawback.",
};
constexpr const char* about_picture = "Describe this picture in one sentence.";
/// 32 by 32 pixels: a blue disc on white.
constexpr const char* picture =
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAMAAABEpIrGAAAABlBMVEX///8eUMhsfkrSAAAAQUlEQVR42tXSsQ0AIAwDwfz+SyOl"
    "x18gEXCbq2JXvRY6+bo3kAVkAVlAFiDiGICIL8CFR3lZXrcPxifno/XZj2UBoE0BwVFqm+IAAAAASUVORK5CYII=";
constexpr int image_side = 256;
constexpr int image_steps = 2;

Json chat(const Target& target, const char* sentence)
{
    Json message{{"role", "user"}, {"content", sentence}};
    if (target.type == Type::vision) {
        message["content"] = about_picture;
        message["images"] = {picture};
    }
    Json body{{"model", target.model}, {"messages", Json::array({std::move(message)})}, {"stream", true}};
    if (target.native) {
        body["options"] = {{"num_predict", answer_tokens_max}};
    } else {
        body["max_tokens"] = answer_tokens_max;
        body["stream_options"] = {{"include_usage", true}};
    }
    return body;
}

} // namespace

Question question_for(const Target& target, std::size_t number)
{
    const char* const sentence = sentences.at(number % sentences.size());
    switch (target.type) {
    case Type::embed: return {target.native ? "/api/embed" : "/v1/embeddings", Json{{"model", target.model}, {"input", sentence}}.dump()};
    case Type::image: {
        Json body{{"model", target.model}, {"prompt", sentence}, {"width", image_side}, {"height", image_side}, {"steps", image_steps}};
        if (!target.tool) {
            body["stream"] = false;
        }
        return {target.tool ? "/api/generate-image" : "/api/generate", body.dump()};
    }
    case Type::llm:
    case Type::vision: break;
    }
    return {target.native ? "/api/chat" : "/v1/chat/completions", chat(target, sentence).dump()};
}

} // namespace herd::app::bench
