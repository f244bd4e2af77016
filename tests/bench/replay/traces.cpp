#include "traces.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

namespace herd::replay {
namespace {

template <class T>
std::optional<T> number(std::string_view& text)
{
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

/// What follows `"name":` in a flat JSON object.
std::optional<std::string_view> value_of(std::string_view line, std::string_view name)
{
    const auto at = line.find("\"" + std::string(name) + "\"");
    if (at == line.npos) {
        return std::nullopt;
    }
    const auto colon = line.find(':', at + name.size() + 2);
    return colon == line.npos ? std::nullopt : std::optional{line.substr(colon + 1)};
}

std::optional<TraceLine> mooncake_line(std::string_view line)
{
    TraceLine out;
    auto at = value_of(line, "timestamp");
    auto input = value_of(line, "input_length");
    auto output = value_of(line, "output_length");
    if (!at || !input || !output) {
        return std::nullopt;
    }
    const auto ms = number<double>(*at);
    const auto in = number<int>(*input);
    const auto written = number<int>(*output);
    if (!ms || !in || !written) {
        return std::nullopt;
    }
    out.at = *ms / 1000;
    out.input = *in;
    out.output = *written;
    if (auto ids = value_of(line, "hash_ids")) {
        const auto open = ids->find('[');
        if (open == ids->npos) {
            return std::nullopt;
        }
        ids->remove_prefix(open + 1);
        while (const auto id = number<std::uint64_t>(*ids)) {
            out.hash_ids.push_back(*id);
            if (ids->empty() || ids->front() != ',') {
                break;
            }
            ids->remove_prefix(1);
        }
    }
    return out;
}

/// "2023-11-16 18:15:46.6805900", with or without a zone behind it: seconds since some midnight.
std::optional<double> instant(std::string_view text)
{
    const auto year = number<int>(text);
    int rest[4]{};
    for (int& part : rest) {
        if (text.empty()) {
            return std::nullopt;
        }
        text.remove_prefix(1);
        const auto value = number<int>(text);
        if (!value) {
            return std::nullopt;
        }
        part = *value;
    }
    if (!year || text.empty()) {
        return std::nullopt;
    }
    text.remove_prefix(1);
    const auto second = number<double>(text);
    if (!second) {
        return std::nullopt;
    }
    // Days by the civil calendar, counted from March so that February is last.
    const int y = *year - (rest[0] <= 2 ? 1 : 0);
    const int m = rest[0] + (rest[0] <= 2 ? 9 : -3);
    const double days = 365.0 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + rest[1];
    return days * 86'400 + rest[2] * 3600.0 + rest[3] * 60.0 + *second;
}

std::optional<TraceLine> azure_line(std::string_view line)
{
    const auto first = line.find(',');
    const auto second = first == line.npos ? line.npos : line.find(',', first + 1);
    if (second == line.npos) {
        return std::nullopt;
    }
    const auto at = instant(line.substr(0, first));
    auto input = line.substr(first + 1);
    auto output = line.substr(second + 1);
    const auto in = number<double>(input);
    const auto written = number<double>(output);
    if (!at || !in || !written) {
        return std::nullopt;
    }
    return TraceLine{*at, static_cast<int>(*in), static_cast<int>(*written), {}, 0};
}

} // namespace

base::Result<std::vector<TraceLine>> read_trace(const std::string& path, std::size_t lines_max)
{
    std::ifstream file(path);
    if (!file) {
        return base::fail(base::Errc::io, path + " cannot be read");
    }
    std::vector<TraceLine> out;
    std::string line;
    bool is_csv = false;
    for (std::size_t n = 1; out.size() < lines_max && std::getline(file, line); ++n) {
        if (line.empty() || line == "\r") {
            continue;
        }
        if (n == 1 && line.front() != '{') {
            is_csv = true;
            continue; // its head
        }
        auto read = is_csv ? azure_line(line) : mooncake_line(line);
        if (!read || read->input < 0 || read->output < 0) {
            return base::fail(base::Errc::malformed, path + ":" + std::to_string(n) + " is neither format's line");
        }
        read->input = std::max(read->input, 1);
        read->output = std::max(read->output, 1);
        read->number = n;
        out.push_back(std::move(*read));
    }
    if (out.empty()) {
        return base::fail(base::Errc::malformed, path + " holds no request");
    }
    std::ranges::sort(out, {}, [](const TraceLine& entry) { return std::pair(entry.at, entry.number); });
    const double begin = out.front().at;
    for (auto& entry : out) {
        entry.at -= begin;
    }
    return out;
}

} // namespace herd::replay
