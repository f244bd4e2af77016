#include "herd/import/toml_text.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <limits>

#include <nlohmann/json.hpp>

namespace herd::app::import {

namespace {

std::string quoted(const std::string& text)
{
    std::string out;
    for (const char c : Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)) {
        out += c == '\x7f' ? std::string{"\\u007f"} : std::string{c}; // which JSON may hold, and TOML not
    }
    return out;
}

std::string key_text(std::string_view key)
{
    const bool bare = !key.empty() && std::ranges::all_of(key, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
    return bare ? std::string{key} : quoted(std::string{key});
}

} // namespace

bool fit_for_toml(const Json& value)
{
    if (value.is_structured()) {
        return std::ranges::all_of(value, fit_for_toml);
    }
    return !value.is_null() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max());
}

std::string toml_value(const Json& value)
{
    std::string out;
    if (value.is_object()) {
        for (const auto& [key, each] : value.items()) {
            out.append(out.empty() ? "" : ", ").append(key_text(key)).append(" = ").append(toml_value(each));
        }
        return out.empty() ? "{}" : "{ " + out + " }";
    }
    if (value.is_array()) {
        for (const Json& each : value) {
            out.append(out.empty() ? "" : ", ").append(toml_value(each));
        }
        return "[" + out + "]";
    }
    return value.is_string() ? quoted(value.get<std::string>()) : value.dump();
}

std::string toml_line(std::string_view key, const Json& value) { return key_text(key) + " = " + toml_value(value) + "\n"; }

std::string remark(std::string_view text)
{
    std::string out = "# ";
    const bool utf8 = base::is_utf8(text);
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte == 0x7f || (byte > 0x7f && !utf8) ? '?' : c;
    }
    return out + "\n";
}

} // namespace herd::app::import
