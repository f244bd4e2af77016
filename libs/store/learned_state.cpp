#include "store/learned_state.hpp"

#include "store/state_file.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::store {

namespace {

using Json = nlohmann::json;

constexpr int format_version = 1;
constexpr std::size_t file_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t digest_bytes_max = 128;
constexpr double figure_max = 1e15; // bytes per second; everything else is far below

struct Figure {
    const char* key;
    double SavedRates::*member;
};
constexpr std::array<Figure, 6> figures{{{"prefill_s", &SavedRates::prefill_s},
                                         {"prefill_slope_s", &SavedRates::prefill_slope_s},
                                         {"decode_s", &SavedRates::decode_s},
                                         {"decode_slope_s", &SavedRates::decode_slope_s},
                                         {"load_rate", &SavedRates::load_rate},
                                         {"weight", &SavedRates::weight}}};

bool read_row(const Json& json, SavedRates& row)
{
    if (!json.is_object() || !json.contains("node") || !json["node"].is_string() || !json.contains("digest")
        || !json["digest"].is_string()) {
        return false;
    }
    const auto id = base::Uuid::parse(json["node"].get<std::string>());
    row.node = id.value_or(base::Uuid{});
    row.digest = json["digest"].get<std::string>();
    bool good = id && !id->is_nil() && row.digest.size() <= digest_bytes_max;
    for (const Figure& figure : figures) {
        const auto found = json.find(figure.key);
        const double value = found != json.end() && found->is_number() ? found->get<double>() : -1;
        good = good && std::isfinite(value) && value >= 0 && value <= figure_max;
        row.*figure.member = value;
    }
    return good;
}

} // namespace

std::string to_json(const std::vector<SavedRates>& rates)
{
    std::string out = fmt::format("{{\"format\":{},\"rates\":[", format_version);
    for (const SavedRates& row : rates) {
        Json json{{"node", row.node.text()}, {"digest", row.digest}};
        for (const Figure& figure : figures) {
            json[figure.key] = row.*figure.member;
        }
        out += out.ends_with('[') ? "\n" : ",\n";
        out += json.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    return out + "\n]}\n";
}

base::Result<std::vector<SavedRates>> parse_rates(std::string_view text)
{
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object() || json.value("format", Json{}) != format_version || !json.contains("rates")
        || !json["rates"].is_array()) {
        return base::fail(base::Errc::malformed, "not in a form this version knows");
    }
    std::vector<SavedRates> rates;
    for (const Json& row : json["rates"]) {
        if (rates.size() >= saved_rates_max || !read_row(row, rates.emplace_back())) {
            return base::fail(base::Errc::malformed, fmt::format("row {} is damaged", rates.size()));
        }
    }
    return rates;
}

LoadedRates load_rates(const std::string& path)
{
    LoadedRates loaded;
    const auto content = read_state_file(path, file_bytes_max);
    if (!content) {
        if (content.error().code != base::Errc::not_found) {
            loaded.warning = content.error().message() + "; the speeds of the nodes are learned anew";
        }
        return loaded;
    }
    auto rates = parse_rates(*content);
    if (!rates) {
        set_aside(path);
        loaded.warning = fmt::format("{} made no sense ({}) and was set aside as .bad; the speeds of the nodes are "
                                     "learned anew",
                                     path, rates.error().context);
        return loaded;
    }
    loaded.rates = std::move(*rates);
    return loaded;
}

base::Result<void> save_rates(const std::string& path, const std::vector<SavedRates>& rates)
{
    return write_state_file(path, to_json(rates));
}

} // namespace herd::store
