#include "proxy/model_rows.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "proxy/json_reader.hpp"

#include <chrono>
#include <limits>

namespace herd::proxy {
namespace {

constexpr std::size_t rows_max = 10'000;
using Kind = JsonReader::Kind;

std::string text_of(JsonReader& reader)
{
    std::string out;
    if (reader.kind() == Kind::string) {
        if (!JsonReader::unescape(reader.string(), out)) {
            out.clear();
        }
    } else {
        reader.skip();
    }
    return out;
}

std::uint64_t number_of(JsonReader& reader)
{
    return base::parse_unsigned(reader.skip()).value_or(0);
}

void read_field(std::string_view key, JsonReader& reader, fleet::Model& model)
{
    if (key == "name") {
        model.name = text_of(reader);
    } else if (key == "digest") {
        model.digest = text_of(reader);
    } else if (key == "size") {
        model.size = number_of(reader);
    } else if (key == "modified_at") {
        model.modified_at = text_of(reader);
    } else {
        reader.skip();
    }
}

void read_field(std::string_view key, JsonReader& reader, fleet::LoadedModel& model)
{
    if (key == "name") {
        model.name = text_of(reader);
    } else if (key == "digest") {
        model.digest = text_of(reader);
    } else if (key == "size") {
        model.size = number_of(reader);
    } else if (key == "size_vram") {
        model.size_vram = number_of(reader);
    } else if (key == "context_length") {
        model.context_length = static_cast<int>(std::min<std::uint64_t>(number_of(reader), 1'000'000'000));
    } else if (key == "expires_at") {
        model.expires_at = text_of(reader);
    } else {
        reader.skip();
    }
}

template <class Row>
std::optional<std::vector<Row>> parse_list(std::string_view body)
{
    JsonReader reader(body);
    if (reader.kind() != Kind::object || !reader.enter()) {
        return std::nullopt;
    }
    std::optional<std::vector<Row>> rows;
    while (const auto key = reader.next_key()) {
        if (*key != "models") {
            reader.skip();
            continue;
        }
        rows.emplace();
        if (reader.kind() != Kind::array) { // null: an empty list
            reader.skip();
            continue;
        }
        reader.enter();
        while (reader.next_element()) {
            Row row;
            row.row = reader.skip();
            JsonReader inner(row.row);
            if (inner.kind() != Kind::object || !inner.enter()) {
                continue;
            }
            while (const auto field = inner.next_key()) {
                read_field(*field, inner, row);
            }
            const auto name = fleet::ModelName::parse(row.name);
            if (name.valid && rows->size() < rows_max) {
                row.key = name.key;
                if constexpr (std::is_same_v<Row, fleet::Model>) {
                    row.remote = is_remote(row.row);
                }
                rows->push_back(std::move(row));
            }
        }
    }
    return reader.broken() ? std::nullopt : std::move(rows);
}

/// One element of OpenAI's "data".
std::string id_in(std::string_view row)
{
    JsonReader reader(row);
    std::string id;
    if (reader.kind() != Kind::object || !reader.enter()) {
        return id;
    }
    while (const auto key = reader.next_key()) {
        if (*key == "id") {
            id = text_of(reader);
        } else {
            reader.skip();
        }
    }
    return id;
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count)
{
    if (text.size() < at + count) {
        return std::nullopt;
    }
    const auto value = base::parse_unsigned(text.substr(at, count));
    return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

} // namespace

std::optional<std::vector<fleet::Model>> parse_tags(std::string_view body) { return parse_list<fleet::Model>(body); }

bool is_remote(std::string_view row)
{
    if (row.find("\"remote_") == std::string_view::npos) { // as Go writes its own keys
        return false;
    }
    JsonReader reader(row);
    if (reader.kind() != Kind::object || !reader.enter()) {
        return false;
    }
    while (const auto key = reader.next_key()) {
        if ((*key == "remote_host" || *key == "remote_model") && !text_of(reader).empty()) {
            return true;
        }
        if (*key != "remote_host" && *key != "remote_model") {
            reader.skip();
        }
    }
    return false;
}

std::optional<std::vector<fleet::LoadedModel>> parse_ps(std::string_view body)
{
    return parse_list<fleet::LoadedModel>(body);
}

std::optional<std::vector<fleet::Model>> parse_openai_models(std::string_view body)
{
    JsonReader reader(body);
    if (reader.kind() != Kind::object || !reader.enter()) {
        return std::nullopt;
    }
    std::optional<std::vector<fleet::Model>> models;
    while (const auto key = reader.next_key()) {
        if (*key != "data") {
            reader.skip();
            continue;
        }
        models.emplace();
        if (reader.kind() != Kind::array) { // null: an empty list
            reader.skip();
            continue;
        }
        reader.enter();
        while (reader.next_element()) {
            fleet::Model model{.name = id_in(reader.skip())};
            const auto name = fleet::ModelName::parse(model.name);
            if (name.valid && models->size() < rows_max) {
                model.key = name.key;
                models->push_back(std::move(model));
            }
        }
    }
    return reader.broken() ? std::nullopt : std::move(models);
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text)
{
    using namespace std::chrono;
    const auto y = digits(text, 0, 4);
    const auto m = digits(text, 5, 2);
    const auto d = digits(text, 8, 2);
    const auto hh = digits(text, 11, 2);
    const auto mm = digits(text, 14, 2);
    const auto ss = digits(text, 17, 2);
    if (!y || !m || !d || !hh || !mm || !ss || text[4] != '-' || text[7] != '-' || text[13] != ':'
        || text[16] != ':') {
        return std::nullopt;
    }
    const year_month_day date(year{*y}, month{static_cast<unsigned>(*m)}, day{static_cast<unsigned>(*d)});
    if (!date.ok()) {
        return std::nullopt;
    }
    auto rest = text.substr(19);
    std::int64_t fraction = 0;
    if (rest.starts_with('.')) {
        std::int64_t scale = 100'000'000;
        rest.remove_prefix(1);
        while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
            fraction += (rest.front() - '0') * scale;
            scale /= 10;
            rest.remove_prefix(1);
        }
    }
    auto time = sys_days(date).time_since_epoch() + hours{*hh} + minutes{*mm} + seconds{*ss};
    if (rest.size() == 6 && (rest.front() == '+' || rest.front() == '-')) {
        const auto zone_hours = digits(rest, 1, 2);
        const auto zone_minutes = digits(rest, 4, 2);
        if (!zone_hours || !zone_minutes) {
            return std::nullopt;
        }
        const auto offset = hours{*zone_hours} + minutes{*zone_minutes};
        time += rest.front() == '+' ? -offset : offset;
    } else if (rest != "Z" && rest != "z") {
        return std::nullopt;
    }
    const auto whole = duration_cast<seconds>(time).count();
    constexpr auto limit = std::numeric_limits<std::int64_t>::max() / 1'000'000'000 - 1;
    if (whole > limit) {
        return std::numeric_limits<std::int64_t>::max();
    }
    if (whole < -limit) {
        return std::numeric_limits<std::int64_t>::min();
    }
    return whole * 1'000'000'000 + fraction;
}

std::string with_member(std::string_view row, std::string_view name, std::string_view value)
{
    row = base::trim(row);
    if (!row.ends_with('}')) {
        return std::string(row);
    }
    row.remove_suffix(1);
    std::string out(row);
    if (base::trim(row).size() > 1) {
        out.push_back(',');
    }
    append_quoted(out, name);
    return out.append(":").append(value).append("}");
}

std::string with_member_in(std::string_view row, std::string_view inside, std::string_view name, std::string_view value)
{
    JsonReader reader(row);
    if (reader.kind() == Kind::object && reader.enter()) {
        while (const auto key = reader.next_key()) {
            const bool wanted = *key == inside && reader.kind() == Kind::object;
            const auto object = reader.skip();
            if (wanted) {
                const auto at = static_cast<std::size_t>(object.data() - row.data());
                return std::string(row.substr(0, at)).append(with_member(object, name, value)).append(row.substr(at + object.size()));
            }
        }
    }
    return std::string(row);
}

} // namespace herd::proxy
