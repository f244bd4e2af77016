#include "herd-node/probes/ollama_api.hpp"

#include "base/text.hpp"
#include "herd-node/probes/text_file.hpp"

#include <chrono>
#include <limits>

#include <nlohmann/json.hpp>
#include <simdjson.h>

namespace herd::node {

namespace {

namespace od = simdjson::ondemand;

std::string text_in(od::object& row, const char* key)
{
    std::string_view value;
    return row.find_field_unordered(key).get_string().get(value) == simdjson::SUCCESS ? std::string(value)
                                                                                      : std::string{};
}

std::uint64_t number_in(od::object& row, const char* key)
{
    std::uint64_t value = 0;
    return row.find_field_unordered(key).get_uint64().get(value) == simdjson::SUCCESS ? value : 0;
}

base::Result<std::string> malformed(const char* what)
{
    return base::fail(base::Errc::malformed, what, base::Source::node);
}

/// Calls `each(row, raw)` for every object in {"models":[…]}. False when the text is not of that shape.
template <class Each>
bool for_each_model(std::string_view json, Each each)
{
    // On-demand parsing skips what it is not asked for; rows are passed on as they are, so check all first.
    if (!nlohmann::json::accept(json)) {
        return false;
    }
    const simdjson::padded_string padded(json);
    od::parser parser;
    od::document document;
    od::array models;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS) {
        return false;
    }
    auto field = document.find_field_unordered("models");
    bool is_null = false;
    if (field.is_null().get(is_null) == simdjson::SUCCESS && is_null) {
        return true; // Go writes an empty list that was never made as null
    }
    if (field.get_array().get(models) != simdjson::SUCCESS) {
        return false;
    }
    std::size_t count = 0;
    for (auto element : models) {
        od::object row;
        std::string_view raw;
        if (element.get_object().get(row) != simdjson::SUCCESS || row.raw_json().get(raw) != simdjson::SUCCESS
            || row.reset().error() != simdjson::SUCCESS) {
            return false;
        }
        if (count++ < models_max) {
            each(row, raw);
        }
    }
    return true;
}

std::optional<unsigned> digits(std::string_view text, std::size_t at, std::size_t count)
{
    if (text.size() < at + count) {
        return std::nullopt;
    }
    const auto value = base::parse_unsigned(text.substr(at, count));
    return value ? std::optional{static_cast<unsigned>(*value)} : std::nullopt;
}

/// "Z", "+02:00", "-07:30".
std::optional<std::chrono::minutes> zone_offset(std::string_view text)
{
    if (text == "Z" || text == "z") {
        return std::chrono::minutes{0};
    }
    if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
        return std::nullopt;
    }
    const auto hours = digits(text, 1, 2);
    const auto minutes = digits(text, 4, 2);
    if (!hours || !minutes) {
        return std::nullopt;
    }
    const std::chrono::minutes offset{static_cast<int>(*hours * 60 + *minutes)};
    return text[0] == '-' ? -offset : offset;
}

/// Seconds until the model leaves memory; empty for "never".
std::optional<int> seconds_until(std::string_view expires_at, base::WallTime now)
{
    const auto when = parse_rfc3339(expires_at);
    if (!when) {
        return std::nullopt;
    }
    constexpr std::int64_t longest = 0xFFFE; // what the datagram can say; keep_alive -1 is centuries away
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(*when - now).count();
    return left > longest ? std::nullopt : std::optional{static_cast<int>(std::max<std::int64_t>(left, 0))};
}

} // namespace

std::optional<base::WallTime> parse_rfc3339(std::string_view text)
{
    // 2026-11-20T16:53:44.29281391Z
    const auto year = digits(text, 0, 4);
    const auto month = digits(text, 5, 2);
    const auto day = digits(text, 8, 2);
    const auto hour = digits(text, 11, 2);
    const auto minute = digits(text, 14, 2);
    const auto second = digits(text, 17, 2);
    if (!year || !month || !day || !hour || !minute || !second) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                           std::chrono::month{*month}, std::chrono::day{*day}};
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
        return std::nullopt;
    }
    auto rest = text.substr(19);
    std::chrono::microseconds fraction{0};
    if (rest.starts_with('.')) {
        std::int64_t scale = 100000;
        for (rest.remove_prefix(1); !rest.empty() && rest[0] >= '0' && rest[0] <= '9';
             rest.remove_prefix(1)) {
            fraction += std::chrono::microseconds{(rest[0] - '0') * scale};
            scale /= 10;
        }
    }
    const auto zone = zone_offset(rest);
    if (!zone) {
        return std::nullopt;
    }
    return base::WallTime{std::chrono::sys_days{date} + std::chrono::hours{*hour}
                          + std::chrono::minutes{*minute} + std::chrono::seconds{*second} + fraction - *zone};
}

base::Result<std::string> parse_version(std::string_view json)
{
    if (!nlohmann::json::accept(json)) {
        return malformed("/api/version is not JSON");
    }
    const simdjson::padded_string padded(json);
    od::parser parser;
    od::document document;
    std::string_view version;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS
        || document.find_field_unordered("version").get_string().get(version) != simdjson::SUCCESS
        || version.empty()) {
        return malformed("/api/version has no version");
    }
    return std::string(version.substr(0, 64));
}

base::Result<std::vector<discovery::LoadedFacts>> parse_ps(std::string_view json, base::WallTime now)
{
    std::vector<discovery::LoadedFacts> loaded;
    const bool fine = for_each_model(json, [&](od::object& row, std::string_view raw) {
        discovery::LoadedFacts model;
        model.row = std::string(raw);
        model.name = text_in(row, "name");
        model.digest = text_in(row, "digest");
        model.size = number_in(row, "size");
        model.size_vram = number_in(row, "size_vram");
        if (const auto context = number_in(row, "context_length");
            context > 0 && context <= std::numeric_limits<int>::max()) {
            model.context_length = static_cast<std::int64_t>(context);
        }
        model.expires_at = text_in(row, "expires_at");
        model.unload_in_s = seconds_until(model.expires_at, now);
        if (!model.name.empty()) {
            loaded.push_back(std::move(model));
        }
    });
    if (!fine) {
        return base::fail(base::Errc::malformed, "/api/ps is not a list of models", base::Source::node);
    }
    return loaded;
}

base::Result<std::vector<discovery::ModelFacts>> parse_tags(std::string_view json)
{
    std::vector<discovery::ModelFacts> models;
    const bool fine = for_each_model(json, [&](od::object& row, std::string_view raw) {
        discovery::ModelFacts model;
        model.row = std::string(raw);
        model.name = text_in(row, "name");
        model.digest = text_in(row, "digest");
        model.size = number_in(row, "size");
        model.modified_at = text_in(row, "modified_at");
        if (!model.name.empty()) {
            models.push_back(std::move(model));
        }
    });
    if (!fine) {
        return base::fail(base::Errc::malformed, "/api/tags is not a list of models", base::Source::node);
    }
    return models;
}

std::optional<std::string> parse_show_blob(std::string_view json)
{
    if (!nlohmann::json::accept(json)) {
        return std::nullopt;
    }
    const simdjson::padded_string padded(json);
    od::parser parser;
    od::document document;
    std::string_view modelfile;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS
        || document.find_field_unordered("modelfile").get_string().get(modelfile) != simdjson::SUCCESS) {
        return std::nullopt;
    }
    while (const auto line = next_line(modelfile)) {
        if (!line->starts_with("FROM ")) {
            continue;
        }
        const auto path = base::trim(line->substr(5));
        const auto name = path.substr(path.rfind('/') + 1);
        return name.starts_with("sha256-") ? std::optional{std::string(name)} : std::nullopt;
    }
    return std::nullopt;
}

std::optional<base::Bytes> parse_show_cache(std::string_view json)
{
    constexpr std::uint64_t value_bytes = 2;
    constexpr std::uint64_t most = 64 * base::mib; // of one token: beyond, it is nonsense
    const auto all = nlohmann::json::parse(json, nullptr, false);
    if (!all.is_object() || !all.contains("model_info") || !all["model_info"].is_object()) {
        return std::nullopt;
    }
    const auto& info = all["model_info"];
    const auto kind = info.find("general.architecture");
    if (kind == info.end() || !kind->is_string()) {
        return std::nullopt;
    }
    const auto number = [&](const char* key) -> std::uint64_t {
        const auto at = info.find(kind->get<std::string>() + "." + key);
        const bool good = at != info.end() && at->is_number_unsigned() && at->get<std::uint64_t>() <= (1U << 24U);
        return good ? at->get<std::uint64_t>() : 0;
    };
    const auto or_else = [](std::uint64_t value, std::uint64_t other) { return value > 0 ? value : other; };
    const auto heads = number("attention.head_count");
    const auto each = heads > 0 ? number("embedding_length") / heads : 0;
    const auto key = or_else(number("attention.key_length"), each);
    const auto value = or_else(number("attention.value_length"), each);
    const double bytes = static_cast<double>(value_bytes) * static_cast<double>(number("block_count"))
        * static_cast<double>(or_else(number("attention.head_count_kv"), heads)) * static_cast<double>(key + value);
    return bytes > 0 && bytes <= static_cast<double>(most) ? std::optional{static_cast<base::Bytes>(bytes)} : std::nullopt;
}

std::optional<Slots> parse_slots(std::string_view json)
{
    if (!nlohmann::json::accept(json)) {
        return std::nullopt;
    }
    const simdjson::padded_string padded(json);
    od::parser parser;
    od::document document;
    od::array list;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS
        || document.get_array().get(list) != simdjson::SUCCESS) {
        return std::nullopt;
    }
    Slots slots;
    for (auto element : list) {
        od::object slot;
        if (element.get_object().get(slot) != simdjson::SUCCESS) {
            return std::nullopt;
        }
        bool processing = false;
        const bool known =
            slot.find_field_unordered("is_processing").get_bool().get(processing) == simdjson::SUCCESS;
        // Older servers had "state": 0 is idle.
        slots.busy += (known ? processing : number_in(slot, "state") != 0) ? 1 : 0;
        ++slots.total;
    }
    return slots;
}

} // namespace herd::node
