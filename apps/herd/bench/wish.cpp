#include "herd/bench/wish.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::bench {

namespace {

using Json = nlohmann::json;

constexpr std::int64_t duration_min = 5;
constexpr std::int64_t duration_max = 3600;
constexpr std::size_t models_max = 32;
constexpr std::array types{Type::llm, Type::vision, Type::embed, Type::image};

std::unexpected<base::Error> wrong(std::string sentence) { return base::fail(base::Errc::malformed, std::move(sentence)); }

/// Of its type and not empty, or nothing.
std::optional<std::vector<std::string>> texts_of(const Json& value)
{
    if (!value.is_array() || value.empty() || !std::ranges::all_of(value, &Json::is_string)) {
        return std::nullopt;
    }
    return value.get<std::vector<std::string>>();
}

base::Result<void> take_types(Wish& wish, const Json& value)
{
    const auto names = texts_of(value);
    if (!names) {
        return wrong(R"("model_types" is a list of "llm", "vision", "embed" and "image")");
    }
    wish.types.clear();
    for (const std::string& name : *names) {
        const auto* const found = std::ranges::find(types, name, [](Type type) { return std::string{to_string(type)}; });
        if (found == types.end()) {
            return wrong(fmt::format(R"("model_types" knows "llm", "vision", "embed" and "image", not "{}")", name.substr(0, 100)));
        }
        if (std::ranges::find(wish.types, *found) == wish.types.end()) {
            wish.types.push_back(*found);
        }
    }
    return {};
}

base::Result<void> take_models(Wish& wish, const Json& value)
{
    auto names = texts_of(value);
    if (!names || names->size() > models_max) {
        return wrong(fmt::format(R"("models" is a list of 1 to {} names)", models_max));
    }
    for (const std::string& name : *names) {
        const auto parsed = fleet::ModelName::parse(name);
        if (!parsed.valid) {
            return wrong(fmt::format(R"("{}" in "models" is not the name of a model)", name.substr(0, 100)));
        }
        if (parsed.cloud) {
            return wrong(fmt::format("{} runs in a cloud, where nothing is measured: it would cost money", name.substr(0, 100)));
        }
    }
    wish.models = std::move(*names);
    return {};
}

base::Result<void> take(Wish& wish, const std::string& key, const Json& value)
{
    if (key == "mode") {
        if (value != "default" && value != "smart") {
            return wrong(R"("mode" is "default" or "smart")");
        }
        wish.mode = value == "smart" ? Mode::smart : Mode::usual;
    } else if (key == "duration") {
        if (!value.is_number_integer() || value < duration_min || value > duration_max) {
            return wrong(fmt::format(R"("duration" is a whole number of seconds from {} to {})", duration_min, duration_max));
        }
        wish.duration = std::chrono::seconds{value.get<std::int64_t>()};
    } else if (key == "model_types") {
        return take_types(wish, value);
    } else if (key == "models") {
        return take_models(wish, value);
    } else if (key == "allow_pull") {
        if (!value.is_boolean()) {
            return wrong(R"("allow_pull" is true or false)");
        }
        wish.allow_pull = value.get<bool>();
    } else {
        return wrong(fmt::format(R"(only "mode", "duration", "model_types", "models" and "allow_pull" are understood, not "{}")", key.substr(0, 100)));
    }
    return {};
}

} // namespace

std::string_view to_string(Type type)
{
    switch (type) {
    case Type::llm: return "llm";
    case Type::vision: return "vision";
    case Type::embed: return "embed";
    case Type::image: return "image";
    }
    return "llm";
}

std::string_view to_string(Mode mode) { return mode == Mode::smart ? "smart" : "default"; }

base::Result<Wish> parse_wish(std::string_view body)
{
    Wish wish;
    if (base::trim(body).empty()) {
        return wish;
    }
    const Json json = Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return wrong("a JSON object is needed, or nothing");
    }
    for (const auto& [key, value] : json.items()) {
        if (auto taken = take(wish, key, value); !taken) {
            return std::unexpected(std::move(taken.error()));
        }
    }
    if (wish.allow_pull && (wish.mode != Mode::smart || wish.models.empty())) {
        return wrong(R"("allow_pull" needs "mode":"smart" and "models": what may be pulled is named, herd chooses nothing to download)");
    }
    return wish;
}

} // namespace herd::app::bench
