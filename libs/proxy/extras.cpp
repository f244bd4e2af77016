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

void add(std::string& out, std::string_view key, std::string_view value)
{
    out.append(out.size() > 1 ? ",\"" : "\"").append(key).append("\":").append(value);
}

/// Empty: nothing else was in it.
std::string without_tags(std::string_view metadata)
{
    std::string out{"{"};
    JsonReader reader(metadata);
    reader.enter();
    bool had_tags = false;
    while (const auto key = reader.next_key()) {
        const auto value = reader.skip();
        if (is(*key, "tags") && value.starts_with('[')) {
            had_tags = true;
        } else {
            add(out, *key, value);
        }
    }
    return had_tags && out.size() == 1 ? std::string{} : out + "}";
}

} // namespace

bool has_extras(const BodyPeek& peek)
{
    return !peek.fallback_models.empty() || peek.no_fallback || peek.prefer_loaded || !peek.tags.empty();
}

std::string without_extras(std::string_view body)
{
    std::string out{"{"};
    out.reserve(body.size());
    JsonReader reader(body);
    reader.enter();
    while (const auto key = reader.next_key()) {
        const auto value = reader.skip();
        if (is(*key, "fallback_models") || is(*key, "fallback")) {
            continue;
        }
        if (!is(*key, "metadata") || !value.starts_with('{')) {
            add(out, *key, value);
        } else if (const auto rest = without_tags(value); !rest.empty()) {
            add(out, *key, rest);
        }
    }
    return out + "}";
}

} // namespace herd::proxy
