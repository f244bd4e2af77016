#pragma once
// Reading the admin API's answers without trusting their shape: what is missing or of another type is blank.
// For the printers of this folder only; includes nlohmann/json.
#include "base/error.hpp"
#include "cli/terminal.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace herd::app::answer {

using Json = nlohmann::json;

/// Errors: malformed.
[[nodiscard]] inline base::Result<Json> parse(std::string_view body)
{
    Json json = Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::malformed, "the answer is not JSON; is that a herd?");
    }
    return json;
}

/// The member, or null.
[[nodiscard]] inline const Json& at(const Json& json, std::string_view key)
{
    static const Json nothing;
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() ? *found : nothing;
}

/// A string, cleaned; empty when it is none.
[[nodiscard]] inline std::string text(const Json& json, std::string_view key)
{
    const Json& value = at(json, key);
    return value.is_string() ? cli::clean(value.get_ref<const std::string&>()) : std::string{};
}

[[nodiscard]] inline std::optional<double> number(const Json& json, std::string_view key)
{
    const Json& value = at(json, key);
    return value.is_number() ? std::optional{value.get<double>()} : std::nullopt;
}

[[nodiscard]] inline std::uint64_t count(const Json& json, std::string_view key)
{
    const auto value = number(json, key).value_or(0);
    return value > 0 && value < 1e18 ? static_cast<std::uint64_t>(value) : 0;
}

[[nodiscard]] inline bool is_true(const Json& json, std::string_view key) { return at(json, key) == true; }

[[nodiscard]] inline const Json& list(const Json& json, std::string_view key)
{
    static const Json empty = Json::array();
    const Json& value = at(json, key);
    return value.is_array() ? value : empty;
}

} // namespace herd::app::answer
