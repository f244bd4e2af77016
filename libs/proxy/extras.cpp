#include "proxy/extras.hpp"

#include "proxy/json_reader.hpp"

#include <array>

namespace herd::proxy {
namespace {

/// As the body was looked into: regardless of case.
bool is(std::string_view key, std::string_view name)
{
    std::array<char, 16> space{};
    return JsonReader::lower_key(key, space) == name;
}

/// Empty: nothing else was in it.
std::string without_tags(std::string_view metadata)
{
    bool had_tags = false;
    auto out = rebuilt(metadata, [&had_tags](std::string_view key, std::string_view value) {
        const bool ours = is(key, "tags") && value.starts_with('[');
        had_tags = had_tags || ours;
        return ours ? std::string_view() : value;
    });
    return had_tags && out == "{}" ? std::string() : out;
}

} // namespace

bool has_extras(const BodyPeek& peek)
{
    return !peek.fallback_models.empty() || peek.no_fallback || peek.prefer_loaded || !peek.tags.empty();
}

std::string without_extras(std::string_view body)
{
    std::string metadata;
    return rebuilt(body, [&metadata](std::string_view key, std::string_view value) -> std::string_view {
        if (is(key, "fallback_models") || is(key, "fallback")) {
            return {};
        }
        if (!is(key, "metadata") || !value.starts_with('{')) {
            return value;
        }
        metadata = without_tags(value);
        return metadata;
    });
}

std::string rebuilt(std::string_view object, const std::function<std::string_view(std::string_view, std::string_view)>& value)
{
    std::string out{"{"};
    out.reserve(object.size());
    JsonReader reader(object);
    reader.enter();
    while (const auto key = reader.next_key()) {
        if (const auto text = value(*key, reader.skip()); !text.empty()) {
            out.append(out.size() > 1 ? ",\"" : "\"").append(*key).append("\":").append(text);
        }
    }
    return out + "}";
}

} // namespace herd::proxy
