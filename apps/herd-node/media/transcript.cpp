#include "herd-node/media/transcript.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t job_bytes_max = 128;
constexpr std::size_t error_bytes_max = 300;

std::string text_at(const Json& object, const char* name)
{
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

double seconds_at(const Json& object, const char* name)
{
    const auto found = object.find(name);
    const double value = found != object.end() && found->is_number() ? found->get<double>() : 0;
    return std::isfinite(value) ? std::max(value, 0.0) : 0;
}

std::optional<Transcript> read(const Json& object)
{
    if (object.is_string()) {
        return Transcript{.text = object.get<std::string>()};
    }
    if (!object.is_object() || !object.contains("text") || !object["text"].is_string()) {
        return std::nullopt;
    }
    Transcript transcript{.text = text_at(object, "text"), .language = text_at(object, "language")};
    const auto list = object.contains("chunks") ? object.find("chunks") : object.find("segments");
    if (list != object.end() && list->is_array()) {
        for (const auto& one : *list) {
            if (one.is_object()) {
                auto language = text_at(one, "language");
                transcript.chunks.push_back({text_at(one, "text"), seconds_at(one, "start"), seconds_at(one, "end"),
                                             language.empty() ? transcript.language : std::move(language)});
            }
        }
    }
    return transcript;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

} // namespace

std::optional<Transcript> parse_transcript(std::string_view printed)
{
    printed = base::trim(printed);
    if (printed.starts_with('{')) {
        if (auto transcript = read(Json::parse(printed, nullptr, false))) {
            return transcript;
        }
    }
    return printed.empty() ? std::nullopt : std::optional(Transcript{.text = std::string(printed)});
}

std::string transcript_answer(const Transcript& transcript)
{
    Json chunks = Json::array();
    for (const auto& chunk : transcript.chunks) {
        chunks.push_back({{"text", chunk.text}, {"start", chunk.start}, {"end", chunk.end}, {"chunk_index", chunks.size()}, {"language", chunk.language}});
    }
    return dump({{"text", transcript.text}, {"language", transcript.language}, {"chunks", std::move(chunks)}});
}

std::string openai_answer(const Transcript& transcript, bool verbose)
{
    if (!verbose) {
        return dump({{"text", transcript.text}});
    }
    Json segments = Json::array();
    for (const auto& chunk : transcript.chunks) {
        segments.push_back({{"id", segments.size()}, {"start", chunk.start}, {"end", chunk.end}, {"text", chunk.text}});
    }
    const double duration = transcript.chunks.empty() ? 0 : transcript.chunks.back().end;
    return dump({{"task", "transcribe"}, {"language", transcript.language}, {"duration", duration}, {"text", transcript.text}, {"segments", std::move(segments)}});
}

std::string job_of(std::string_view body)
{
    const auto json = Json::parse(body, nullptr, false);
    if (!json.is_object() || !json.contains("job_id")) {
        return {};
    }
    const auto& id = json["job_id"];
    const std::string text = id.is_number_unsigned() ? dump(id) : text_at(json, "job_id");
    const bool fit = text.size() <= job_bytes_max && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    return fit ? text : std::string{};
}

JobState job_state_of(std::string_view body)
{
    const auto json = Json::parse(body, nullptr, false);
    JobState state;
    if (!json.is_object()) {
        return {.done = true, .error = "it answered with what is no JSON object"};
    }
    const auto status = text_at(json, "status");
    if (status == "completed") {
        state.done = true;
        state.result = json.contains("result") ? read(json["result"]) : std::nullopt;
        state.error = state.result ? "" : "its result has no text";
    } else if (status == "failed" || status == "error" || status == "cancelled") {
        state.done = true;
        state.error = base::cut_text(text_at(json, "error"), error_bytes_max);
        std::ranges::replace_if(state.error, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
        state.error = "the job " + (status == "cancelled" ? status : "failed") + (state.error.empty() ? "" : ": " + state.error);
    }
    return state;
}

} // namespace herd::node
