#pragma once
// One table per program says everything about its settings: key, flags, environment twin, kind, range,
// default and a sentence. The flags, the file's grammar, `--help`, `--check-config` and docs/config.md all
// come from it, so they cannot drift apart.
//
// A row is bound to a variable of the program's options struct; what stands in that variable when the row is
// added is the default. The table therefore lives no longer than the struct.
#include "base/error.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::config {

using base::Result;

/// How a setting is written in TOML, and what its text must look like.
enum class Kind : std::uint8_t {
    boolean,
    number,
    duration,
    bytes,
    text,
    json, ///< a table of the file, or a text that holds a JSON object; kept as JSON text, empty when not set
};

/// Where the value in force came from, strongest last.
enum class From : std::uint8_t { built_in, file, environment, flag };

struct Origin {
    From from{From::built_in};
    std::string place{}; ///< "herd.toml line 7", "HERD_LISTEN", "--listen"
};

/// What a person is told about a setting.
struct Row {
    std::string key{};        ///< "discovery.port"; sections are dotted
    std::string flags{};      ///< "-d,--daemon"; empty: file and environment only
    std::string value_name{}; ///< "HOST:PORT" in the help
    std::string sentence{};
    std::string elsewhere{};  ///< flags, comma separated, that other programs have for it: refused, naming this one
    bool restart{false}; ///< a reload cannot apply it
    bool secret{false};  ///< shown as stars
    bool hidden{false};  ///< neither in the help nor in the documentation
    bool in_file{true};  ///< false: not a key of the file
    bool in_environment{true};
    bool negated{false}; ///< a boolean whose bare flag means false (`--no-discovery`)
    bool pairs{false};   ///< a list of "name=value" that the file may write as a table: { name = "value" }
    bool on_off{false};  ///< a boolean whose flag takes `on` or `off`
};

struct Option {
    Row row{};
    Kind kind{Kind::text};
    bool is_list{false};
    std::string group{};
    std::string environment{}; ///< "HERD_DISCOVERY_PORT"; empty: none
    std::string expects{};     ///< "a number from 0 to 65535"
    /// Takes the texts (exactly one unless `is_list`) or says what it expected. Replaces earlier values.
    std::function<Result<void>(std::span<const std::string>)> assign{};
    /// The value in force as texts that `assign` takes.
    std::function<std::vector<std::string>()> show{};
    /// Back to the default, which `assign` may not take as a text (empty for "not set").
    std::function<void()> reset{};
    std::vector<std::string> built_in{}; ///< `show()` when the row was added
    Origin origin{};
    /// What was asked for since the start and only a restart applies; nothing: what is in force was asked for.
    std::optional<std::vector<std::string>> after_restart{};

    [[nodiscard]] bool takes_value() const { return kind != Kind::boolean || row.on_off; }
    /// The longest of the flags: "--daemon".
    [[nodiscard]] std::string long_flag() const;
};

class Table;

/// `[[node]]`: a table of the file that may come many times.
struct Repeated {
    std::string key{};
    std::string sentence{};
    std::vector<std::string> required{}; ///< keys that each must have
    std::function<std::string(const Table&)> check{}; ///< what is wrong with an element as a whole, one sentence; empty: nothing
    std::vector<std::string> unique{};   ///< keys of which no two may have the same (non-empty) value
    std::function<std::size_t()> count{};
    std::function<void()> clear{};
    std::function<void()> append{};
    std::function<void(Table&, std::size_t)> rows{}; ///< adds the rows of element i
    std::function<void(Table&)> describe{};          ///< adds the rows of an element that nobody has
};

/// Thread: one owner.
class Table {
public:
    /// `environment_prefix`: "HERD_" makes `discovery.port` HERD_DISCOVERY_PORT.
    explicit Table(std::string environment_prefix) : prefix_(std::move(environment_prefix)) {}

    /// Rows added from now on stand under this heading.
    void group(std::string title) { group_ = std::move(title); }

    Option& boolean(Row row, bool& into);
    Option& text(Row row, std::string& into);
    Option& list(Row row, std::vector<std::string>& into);
    Option& bytes(Row row, base::Bytes& into, base::Bytes low = 0, base::Bytes high = base::Bytes{1} << 62);
    Option& duration(Row row, base::Duration& into, base::Duration low = base::Duration{},
                     base::Duration high = std::chrono::hours{24 * 3650});
    template <std::unsigned_integral T>
    Option& number(Row row, T& into, std::uint64_t low = 0,
                   std::uint64_t high = std::numeric_limits<T>::max())
    {
        return number_row(
            std::move(row), low, high, [&into](std::uint64_t v) { into = static_cast<T>(v); },
            [&into] { return std::uint64_t{into}; });
    }
    /// A JSON object; `check` says what is wrong with its text.
    Option& json(Row row, std::string& into, std::function<std::string(std::string_view)> check);
    /// One of a few words.
    template <class E>
    Option& choice(Row row, E& into, std::vector<std::pair<std::string, E>> words)
    {
        std::string expects;
        for (const auto& [word, value] : words) {
            expects += (expects.empty() ? "" : " | ") + word;
        }
        auto parse = [words](std::string_view text) -> Result<E> {
            for (const auto& [word, value] : words) {
                if (word == text) {
                    return value;
                }
            }
            return base::fail(base::Errc::bad_config);
        };
        auto format = [words](const E& value) {
            for (const auto& [word, candidate] : words) {
                if (candidate == value) {
                    return word;
                }
            }
            return std::string{};
        };
        return parsed(std::move(row), into, std::move(expects), std::move(parse), std::move(format));
    }
    /// Any type with a text form. `parse`: string_view → Result<T>, its error's context (when there is one)
    /// replaces "expected …". `format`: T → string that parses back; empty for "not set".
    template <class T, class Parse, class Format>
    Option& parsed(Row row, T& into, std::string expects, Parse parse, Format format)
    {
        return add(
            std::move(row), Kind::text, false, std::move(expects),
            [&into, parse](std::span<const std::string> texts) -> Result<void> {
                auto value = parse(texts.front());
                if (!value) {
                    return std::unexpected(value.error());
                }
                into = std::move(*value);
                return {};
            },
            [&into, format] { return std::vector<std::string>{format(into)}; }, [&into, initial = into] { into = initial; });
    }
    template <class T, class Parse, class Format>
    Option& parsed_list(Row row, std::vector<T>& into, std::string expects, Parse parse, Format format)
    {
        return add(
            std::move(row), Kind::text, true, std::move(expects),
            [&into, parse](std::span<const std::string> texts) -> Result<void> {
                std::vector<T> values;
                for (const std::string& text : texts) {
                    auto value = parse(text);
                    if (!value) {
                        return std::unexpected(value.error());
                    }
                    values.push_back(std::move(*value));
                }
                into = std::move(values);
                return {};
            },
            [&into, format] {
                std::vector<std::string> texts;
                for (const T& value : into) {
                    texts.push_back(format(value));
                }
                return texts;
            },
            [&into, initial = into] { into = initial; });
    }
    /// `[[key]]`, each element one T; `rows` adds the rows of one element (their keys without a section).
    template <class T>
    Repeated& repeated(std::string key, std::string sentence, std::vector<T>& into, void (*rows)(Table&, T&))
    {
        Repeated& added = repeated_.emplace_back();
        added.key = std::move(key);
        added.sentence = std::move(sentence);
        added.count = [&into] { return into.size(); };
        added.clear = [&into] { into.clear(); };
        added.append = [&into] { into.emplace_back(); };
        added.rows = [&into, rows](Table& table, std::size_t i) { rows(table, into[i]); };
        added.describe = [rows, nobody = std::make_shared<T>()](Table& table) { rows(table, *nobody); };
        return added;
    }

    [[nodiscard]] std::span<Option> options() { return options_; }
    [[nodiscard]] std::span<const Option> options() const { return options_; }
    [[nodiscard]] std::span<const Repeated> repetitions() const { return repeated_; }
    [[nodiscard]] Option* find(std::string_view key);
    [[nodiscard]] const std::string& environment_prefix() const { return prefix_; }

private:
    Option& add(Row row, Kind kind, bool is_list, std::string expects,
                std::function<Result<void>(std::span<const std::string>)> assign,
                std::function<std::vector<std::string>()> show, std::function<void()> reset);
    Option& number_row(Row row, std::uint64_t low, std::uint64_t high,
                       std::function<void(std::uint64_t)> store, std::function<std::uint64_t()> load);

    std::string prefix_;
    std::string group_;
    std::vector<Option> options_;
    std::vector<Repeated> repeated_;
};

/// Gives `option` new texts from `origin`. The error is a whole sentence that begins with the place.
[[nodiscard]] Result<void> assign(Option& option, std::span<const std::string> texts, Origin origin);

/// The keys whose values differ and that only a restart applies. Both tables have the same rows.
[[nodiscard]] std::vector<std::string> restart_differences(const Table& before, const Table& after);

/// Gives the rows that only a restart applies the values that they have in `running`. Both tables have the same rows.
/// Errors: a value that the row does not take.
[[nodiscard]] Result<void> keep_running(Table& table, const Table& running);

} // namespace herd::config
