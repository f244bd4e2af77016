#include "herd-node/media/image_request.hpp"

#include "base/text.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

using Json = nlohmann::json;
using Fault = std::optional<std::string>;

constexpr std::size_t prompt_bytes_max = 16 * 1024;
constexpr int side_least = 64;
constexpr int side_most = 4096;
constexpr int steps_most = 200;
constexpr int quantize_most = 16;
constexpr double guidance_most = 100;
constexpr std::uint64_t seed_most = 0xFFFFFFFFU; // what all tools take

/// The member; null counts as absent, as in most clients.
const Json* member(const Json& body, const char* name)
{
    const auto found = body.find(name);
    return found == body.end() || found->is_null() ? nullptr : &*found;
}

Fault read_text(const Json& body, const char* name, std::string& into)
{
    const Json* given = member(body, name);
    if (given == nullptr) {
        return std::nullopt;
    }
    if (!given->is_string()) {
        return fmt::format("{} must be a string", name);
    }
    into = given->get<std::string>();
    if (into.size() > prompt_bytes_max) {
        return fmt::format("{} has at most {} bytes", name, prompt_bytes_max);
    }
    return into.find('\0') == std::string::npos ? Fault{} : fmt::format("{} must not contain the character U+0000", name);
}

Fault read_whole(const Json& body, const char* name, int least, int most, int& into)
{
    const Json* given = member(body, name);
    if (given == nullptr) {
        return std::nullopt;
    }
    if (!given->is_number_integer() || *given < least || *given > most) {
        return fmt::format("{} must be a whole number from {} to {}", name, least, most);
    }
    into = given->get<int>();
    return std::nullopt;
}

Fault read_seed(const Json& body, std::optional<std::uint64_t>& into)
{
    const Json* given = member(body, "seed");
    if (given == nullptr) {
        return std::nullopt;
    }
    if (!given->is_number_integer() || *given < 0 || *given > seed_most) {
        return fmt::format("seed must be a whole number from 0 to {}", seed_most);
    }
    into = given->get<std::uint64_t>();
    return std::nullopt;
}

Fault read_guidance(const Json& body, std::optional<double>& into)
{
    const Json* given = member(body, "guidance");
    if (given == nullptr) {
        return std::nullopt;
    }
    const double value = given->is_number() ? given->get<double>() : -1;
    if (!(value >= 0 && value <= guidance_most)) {
        return fmt::format("guidance must be a number from 0 to {}", guidance_most);
    }
    into = value;
    return std::nullopt;
}

/// "1024x768"
Fault read_size(const Json& body, ImageRequest& into)
{
    std::string size;
    if (auto fault = read_text(body, "size", size); fault || size.empty() || size == "auto") {
        return fault;
    }
    const auto x = size.find('x');
    const auto width = base::parse_unsigned(std::string_view(size).substr(0, x));
    const auto height = x == std::string::npos ? std::nullopt : base::parse_unsigned(std::string_view(size).substr(x + 1));
    const auto fits = [](const auto& side) { return side && *side >= side_least && *side <= side_most; };
    if (!fits(width) || !fits(height)) {
        return fmt::format("size must be WIDTHxHEIGHT, each from {} to {}, such as 1024x1024", side_least, side_most);
    }
    into.width = static_cast<int>(*width);
    into.height = static_cast<int>(*height);
    return std::nullopt;
}

/// What only OpenAI's form has.
Fault read_openai(const Json& body, ImageRequest& into)
{
    int count = 1;
    std::string format;
    if (auto fault = read_size(body, into)) {
        return fault;
    }
    if (read_whole(body, "n", 1, 1, count)) {
        return "n must be 1: an image at a time is made";
    }
    if (auto fault = read_text(body, "response_format", format)) {
        return fault;
    }
    if (!format.empty() && format != "b64_json") {
        return "response_format must be b64_json: no image is kept that a URL could lead to";
    }
    const Json* streams = member(body, "stream");
    return streams != nullptr && *streams == true ? Fault{"stream must be false: an image comes in one piece"} : Fault{};
}

Fault read_into(const Json& body, proxy::Dialect dialect, ImageRequest& into)
{
    if (!body.is_object()) {
        return "the body must be a JSON object";
    }
    for (const auto& [name, text] : {std::pair{"model", &into.model}, {"prompt", &into.prompt}, {"negative_prompt", &into.negative_prompt}}) {
        if (auto fault = read_text(body, name, *text)) {
            return fault;
        }
    }
    if (into.model.empty() || into.prompt.empty()) {
        return fmt::format("{} is required", into.model.empty() ? "model" : "prompt");
    }
    struct Number {
        const char* name;
        int least;
        int most;
        int* into;
    };
    for (const Number& each : {Number{"width", side_least, side_most, &into.width}, Number{"height", side_least, side_most, &into.height},
                               Number{"steps", 1, steps_most, &into.steps}, Number{"quantize", 1, quantize_most, &into.quantize}}) {
        if (auto fault = read_whole(body, each.name, each.least, each.most, *each.into)) {
            return fault;
        }
    }
    if (auto fault = read_seed(body, into.seed)) {
        return fault;
    }
    if (auto fault = read_guidance(body, into.guidance)) {
        return fault;
    }
    return dialect == proxy::Dialect::openai ? read_openai(body, into) : Fault{};
}

std::string base64(std::string_view bytes)
{
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t left = bytes.size() - at;
        const auto byte = [&](std::size_t i) { return i < left ? static_cast<unsigned char>(bytes[at + i]) : 0U; };
        const unsigned three = byte(0) << 16U | byte(1) << 8U | byte(2);
        out += letters[three >> 18U];
        out += letters[three >> 12U & 63U];
        out += left > 1 ? letters[three >> 6U & 63U] : '=';
        out += left > 2 ? letters[three & 63U] : '=';
    }
    return out;
}

} // namespace

std::string model_of(std::string_view body)
{
    const auto json = Json::parse(body, nullptr, false);
    const Json* given = json.is_object() ? member(json, "model") : nullptr;
    return given != nullptr && given->is_string() ? given->get<std::string>() : std::string{};
}

std::expected<ImageRequest, std::string> parse_image_request(std::string_view body, proxy::Dialect dialect)
{
    ImageRequest request;
    if (auto fault = read_into(Json::parse(body, nullptr, false), dialect, request)) {
        return std::unexpected(std::move(*fault));
    }
    return request;
}

std::string image_answer(std::string_view png, const std::string& prompt, std::int64_t created)
{
    // The image is by far the longest part: it is put in as text, not copied through a tree.
    return fmt::format(R"({{"created":{},"data":[{{"b64_json":"{}","revised_prompt":{}}}]}})", created, base64(png),
                       Json(prompt).dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool is_png(std::string_view bytes) { return bytes.starts_with("\x89PNG\r\n\x1a\n"); }

} // namespace herd::node
