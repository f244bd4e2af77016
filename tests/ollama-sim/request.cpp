#include "request.hpp"

#include "base/text.hpp"
#include "base/units.hpp"

namespace herd::sim {

std::expected<Json, std::string> parse_body(std::string_view text)
{
    if (base::trim(text).empty()) {
        return std::unexpected("missing request body");
    }
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) {
        // The one message of Go's parser that users meet: a key that does not begin with a quote.
        const auto brace = text.find('{');
        const auto next = brace == std::string_view::npos ? brace : text.find_first_not_of(" \t\r\n", brace + 1);
        if (next != std::string_view::npos && text[next] != '"' && text[next] != '}') {
            return std::unexpected(std::string{"invalid character '"} + text[next] + "' looking for beginning of object key string");
        }
        return std::unexpected("unexpected EOF");
    }
    if (!json.is_object()) {
        return std::unexpected("json: cannot unmarshal " + std::string{json.type_name()} + " into Go value");
    }
    return json;
}

const Json& field(const Json& object, std::string_view name)
{
    static const Json none = nullptr;
    const Json* found = &none;
    for (const auto& [key, value] : object.items()) {
        if (base::iequals(key, name)) {
            found = &value;
        }
    }
    return *found;
}

std::string text_of(const Json& object, std::string_view name)
{
    const Json& value = field(object, name);
    return value.is_string() ? value.get<std::string>() : std::string{};
}

std::string model_of(const Json& object)
{
    const std::string model = text_of(object, "model");
    return model.empty() ? text_of(object, "name") : model;
}

std::expected<std::optional<std::int64_t>, std::string> keep_alive_ns(const Json& object)
{
    const Json& value = field(object, "keep_alive");
    if (value.is_null()) {
        return std::nullopt;
    }
    if (value.is_number()) {
        return static_cast<std::int64_t>(value.get<double>() * 1e9);
    }
    const std::string text = value.is_string() ? value.get<std::string>() : std::string{};
    if (text.starts_with('-') && base::parse_duration(std::string_view{text}.substr(1))) {
        return -1'000'000'000;
    }
    if (text == "0s" || text == "0m" || text == "0h" || text == "0") {
        return 0;
    }
    if (const auto duration = base::parse_duration(text)) {
        return duration->count();
    }
    return std::unexpected("time: invalid duration \"" + text + '"');
}

} // namespace herd::sim
