#include "herd/policy/policy_json.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;

/// As config::Option takes it; nothing when the type does not suit.
std::optional<std::string> text_of(const config::Option& option, const Json& value)
{
    switch (option.kind) {
    case config::Kind::boolean: return value.is_boolean() ? std::optional<std::string>{value.get<bool>() ? "true" : "false"} : std::nullopt;
    case config::Kind::number: return value.is_number_unsigned() || value.is_number_float() ? std::optional{value.dump()} : std::nullopt;
    case config::Kind::bytes:
    case config::Kind::duration:
        if (value.is_number_unsigned()) {
            return value.dump();
        }
        break;
    case config::Kind::json:
        if (value.is_string()) { // a JSON object in quotes: kept as it is kept when it comes without
            const auto inner = nested_too_deeply(value.get_ref<const std::string&>())
                ? Json(Json::value_t::discarded)
                : Json::parse(value.get_ref<const std::string&>(), nullptr, false);
            return inner.is_object() ? std::optional{inner.dump()} : std::optional{value.get<std::string>()};
        }
        return value.is_object() ? std::optional{value.dump()} : std::nullopt;
    case config::Kind::text: break;
    }
    return value.is_string() ? std::optional{value.get<std::string>()} : std::nullopt;
}

std::string_view wanted(const config::Option& option)
{
    switch (option.kind) {
    case config::Kind::boolean: return "true or false";
    case config::Kind::json: return "a JSON object";
    case config::Kind::text: return option.is_list ? "a list of strings" : "a string";
    default: return option.expects;
    }
}

base::Result<void> give(config::Option& option, const std::string& key, const Json& value)
{
    std::vector<std::string> texts;
    const auto expected = [&] { return base::fail(base::Errc::bad_config, key + ": expected " + std::string{wanted(option)}); };
    if (option.is_list) {
        if (!value.is_array()) {
            return expected();
        }
        for (const Json& element : value) {
            const auto text = text_of(option, element);
            if (!text) {
                return expected();
            }
            texts.push_back(*text);
        }
    } else if (const auto text = text_of(option, value)) {
        texts.push_back(*text);
    } else {
        return expected();
    }
    return config::assign(option, texts, {config::From::file, key});
}

} // namespace

bool nested_too_deeply(std::string_view json)
{
    constexpr int depth_max = 64;
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (quoted) {
            i += c == '\\' ? 1U : 0U;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

base::Result<void> assign_json(config::Table& rows, config::Table& defaults, std::string_view object,
                               const std::vector<std::string>& read_only)
{
    const auto json = nested_too_deeply(object) ? Json(Json::value_t::discarded) : Json::parse(object, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::bad_config, "the body must be a JSON object");
    }
    for (const auto& [key, value] : json.items()) {
        if (std::ranges::find(read_only, key) != read_only.end()) {
            continue;
        }
        config::Option* option = rows.find(key);
        if (option == nullptr) {
            std::vector<std::string> names;
            for (const config::Option& each : rows.options()) {
                names.push_back(each.row.key);
            }
            const std::string near = base::nearest(key, names);
            return base::fail(base::Errc::bad_config, "unknown field \"" + key + '"' + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
        }
        if (value.is_null()) {
            const auto texts = defaults.find(key)->show();
            if (auto done = config::assign(*option, texts, {config::From::file, key}); !done) {
                return done;
            }
        } else if (auto done = give(*option, key, value); !done) {
            return done;
        }
    }
    return {};
}

std::string members_json(const config::Table& rows)
{
    std::string out;
    for (const config::Option& option : rows.options()) {
        const auto texts = option.show();
        if (option.row.hidden || (!option.is_list && texts.front().empty())) {
            continue;
        }
        out += (out.empty() ? "" : ",") + Json(option.row.key).dump() + ":";
        const bool bare = option.kind == config::Kind::boolean || option.kind == config::Kind::number || option.kind == config::Kind::json;
        if (option.is_list) {
            out += Json(texts).dump();
        } else {
            out += bare ? texts.front() : Json(texts.front()).dump();
        }
    }
    return out;
}

} // namespace herd::app
