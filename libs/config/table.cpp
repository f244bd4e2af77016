#include "config/table.hpp"

#include "base/text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::config {

namespace {

std::string environment_name(const std::string& prefix, std::string_view key)
{
    std::string name = prefix;
    for (const char c : key) {
        name += c == '.' || c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return name;
}

/// Exact, unlike base::format_bytes: "512MiB", or the plain number.
std::string bytes_text(base::Bytes value)
{
    for (const auto& [unit, name] :
         {std::pair{base::gib, "GiB"}, std::pair{base::mib, "MiB"}, std::pair{base::kib, "KiB"}}) {
        if (value != 0 && value % unit == 0) {
            return fmt::format("{}{}", value / unit, name);
        }
    }
    return fmt::format("{}", value);
}

/// What a person is shown of a value that was refused: a user name and password before an @ are nobody's business.
std::string without_user(std::string_view text)
{
    const auto at = text.rfind('@');
    return at == std::string_view::npos ? std::string{text} : "***" + std::string{text.substr(at)};
}

std::unexpected<base::Error> not_as_expected() { return base::fail(base::Errc::bad_config); }

} // namespace

std::string Option::long_flag() const
{
    std::string longest;
    for (const auto flag : base::split_list(row.flags)) {
        if (flag.size() > longest.size()) {
            longest = flag;
        }
    }
    return longest;
}

Option& Table::add(Row row, Kind kind, bool is_list, std::string expects,
                   std::function<Result<void>(std::span<const std::string>)> assign,
                   std::function<std::vector<std::string>()> show, std::function<void()> reset)
{
    Option& option = options_.emplace_back();
    option.row = std::move(row);
    option.kind = kind;
    option.is_list = is_list;
    option.group = group_;
    option.expects = std::move(expects);
    option.assign = std::move(assign);
    option.show = std::move(show);
    option.reset = std::move(reset);
    option.built_in = option.show();
    if (option.row.in_environment && !prefix_.empty()) {
        option.environment = environment_name(prefix_, option.row.key);
    }
    return option;
}

Option& Table::boolean(Row row, bool& into)
{
    return add(
        std::move(row), Kind::boolean, false, "on or off",
        [&into](std::span<const std::string> texts) -> Result<void> {
            const std::string text = base::lower(texts.front());
            const bool yes = text == "true" || text == "on" || text == "yes" || text == "1";
            const bool no = text == "false" || text == "off" || text == "no" || text == "0";
            if (!yes && !no) {
                return not_as_expected();
            }
            into = yes;
            return {};
        },
        [&into] { return std::vector<std::string>{into ? "true" : "false"}; }, [&into, initial = into] { into = initial; });
}

Option& Table::text(Row row, std::string& into)
{
    return parsed(
        std::move(row), into, "text", [](std::string_view text) { return Result<std::string>{text}; },
        [](const std::string& value) { return value; });
}

Option& Table::list(Row row, std::vector<std::string>& into)
{
    return parsed_list(
        std::move(row), into, "text", [](std::string_view text) { return Result<std::string>{text}; },
        [](const std::string& value) { return value; });
}

Option& Table::json(Row row, std::string& into, std::function<std::string(std::string_view)> check)
{
    Option& option = parsed(
        std::move(row), into, "a table, or a JSON object in quotes",
        [check = std::move(check)](std::string_view text) -> Result<std::string> {
            if (auto fault = text.empty() ? std::string{} : check(text); !fault.empty()) {
                return base::fail(base::Errc::bad_config, std::move(fault));
            }
            return std::string{text};
        },
        [](const std::string& value) { return value; });
    option.kind = Kind::json;
    return option;
}

Option& Table::bytes(Row row, base::Bytes& into, base::Bytes low, base::Bytes high)
{
    std::string expects = "a size such as 64MiB";
    if (low > 0) {
        expects += fmt::format(", at least {}", bytes_text(low));
    }
    Option& option = parsed(
        std::move(row), into, std::move(expects),
        [low, high](std::string_view text) -> Result<base::Bytes> {
            const auto value = base::parse_bytes(text);
            if (!value || *value < low || *value > high) {
                return not_as_expected();
            }
            return *value;
        },
        bytes_text);
    option.kind = Kind::bytes;
    return option;
}

Option& Table::duration(Row row, base::Duration& into, base::Duration low, base::Duration high)
{
    std::string expects = "a duration such as 30s";
    if (low > base::Duration{}) {
        expects += fmt::format(", at least {}", base::format_duration(low));
    }
    Option& option = parsed(
        std::move(row), into, std::move(expects),
        [low, high](std::string_view text) -> Result<base::Duration> {
            const auto value = base::parse_duration(text);
            if (!value || *value < low || *value > high) {
                return not_as_expected();
            }
            return *value;
        },
        base::format_duration);
    option.kind = Kind::duration;
    return option;
}

Option& Table::number_row(Row row, std::uint64_t low, std::uint64_t high,
                          std::function<void(std::uint64_t)> store, std::function<std::uint64_t()> load)
{
    const std::uint64_t initial = load();
    return add(
        std::move(row), Kind::number, false, fmt::format("a number from {} to {}", low, high),
        [low, high, store](std::span<const std::string> texts) -> Result<void> {
            const auto value = base::parse_unsigned(texts.front());
            if (!value || *value < low || *value > high) {
                return not_as_expected();
            }
            store(*value);
            return {};
        },
        [load = std::move(load)] { return std::vector<std::string>{fmt::format("{}", load())}; }, [store, initial] { store(initial); });
}

Option* Table::find(std::string_view key)
{
    const auto found =
        std::ranges::find_if(options_, [&](const Option& option) { return option.row.key == key; });
    return found == options_.end() ? nullptr : &*found;
}

Result<void> assign(Option& option, std::span<const std::string> texts, Origin origin)
{
    if (texts.empty() && !option.is_list) {
        return base::fail(base::Errc::bad_config,
                          fmt::format("{}: expected {}", origin.place, option.expects));
    }
    const auto taken = option.assign(option.is_list ? texts : texts.last(1));
    if (!taken) {
        std::vector<std::string> shown;
        std::ranges::transform(texts, std::back_inserter(shown), without_user);
        const std::string given =
            option.row.secret ? std::string{} : fmt::format(" \"{}\"", fmt::join(shown, "\", \""));
        const std::string& why = taken.error().context;
        return base::fail(base::Errc::bad_config,
                          why.empty() ? fmt::format("{}{}: expected {}", origin.place, given, option.expects)
                                      : fmt::format("{}{}: {}", origin.place, given, why));
    }
    option.origin = std::move(origin);
    return {};
}

std::vector<std::string> restart_differences(const Table& before, const Table& after)
{
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < before.options().size(); ++i) {
        const Option& old = before.options()[i];
        if (old.row.restart && old.show() != after.options()[i].show()) {
            keys.push_back(old.row.key);
        }
    }
    return keys;
}

Result<void> keep_running(Table& table, const Table& running)
{
    for (std::size_t i = 0; i < table.options().size(); ++i) {
        Option& option = table.options()[i];
        const std::vector<std::string> texts = running.options()[i].show();
        if (!option.row.restart || texts == option.show()) {
            continue;
        }
        if (texts == option.built_in) {
            option.reset();
        } else if (auto taken = assign(option, texts, option.origin); !taken) {
            return taken;
        }
    }
    return {};
}

} // namespace herd::config
