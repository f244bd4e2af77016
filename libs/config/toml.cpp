#include "config/sources.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace herd::config {

namespace {

constexpr std::uintmax_t file_bytes_max = 1 << 20;

/// Where we are in the document, for sentences.
struct Reader {
    std::string name;

    [[nodiscard]] std::string place(const toml::source_region& source) const
    {
        return fmt::format("{} line {}", name, source.begin.line);
    }
    [[nodiscard]] std::unexpected<base::Error> refuse(const toml::source_region& source,
                                                      const std::string& why) const
    {
        return base::fail(base::Errc::bad_config, place(source) + ": " + why);
    }

    Result<void> value(Option& option, const std::string& key, const toml::node& node) const;
    Result<void> pairs(Table& rows, Option& option, const toml::table& from) const;
    Result<void> table(Table& rows, const toml::table& from, const std::string& section) const;
    Result<void> tables(const Repeated& repeated, const toml::node& node) const;
    Result<void> check_item(const Repeated& repeated, Table& rows, const toml::node& node,
                            std::map<std::string, std::int64_t>& seen) const;
    [[nodiscard]] std::unexpected<base::Error> unknown(const Table& rows, const std::string& key,
                                                       bool is_table,
                                                       const toml::source_region& source) const;
};

void append_json_text(std::string& out, std::string_view text)
{
    out += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\u{:04x}", byte);
        } else {
            out += c;
        }
    }
    out += '"';
}

/// A table of the file as JSON. Dates, infinities and what is no number have no form there: false.
bool append_json(std::string& out, const toml::node& node)
{
    if (const auto* table = node.as_table()) {
        out += '{';
        bool first = true;
        for (const auto& [key, value] : *table) {
            out += first ? "" : ",";
            first = false;
            append_json_text(out, key.str());
            out += ':';
            if (!append_json(out, value)) {
                return false;
            }
        }
        out += '}';
        return true;
    }
    if (const auto* array = node.as_array()) {
        out += '[';
        for (std::size_t i = 0; i < array->size(); ++i) {
            out += i == 0 ? "" : ",";
            if (!append_json(out, *array->get(i))) {
                return false;
            }
        }
        out += ']';
        return true;
    }
    if (const auto* text = node.as_string()) {
        append_json_text(out, text->get());
        return true;
    }
    if (const auto* number = node.as_integer()) {
        out += fmt::format("{}", number->get());
        return true;
    }
    if (const auto* number = node.as_floating_point()) {
        const bool finite = number->get() - number->get() == 0;
        out += finite ? fmt::format("{}", number->get()) : "";
        return finite;
    }
    if (const auto* yes = node.as_boolean()) {
        out += yes->get() ? "true" : "false";
        return true;
    }
    return false;
}

/// The node's text when its type suits the option, else nothing: "8080" in quotes is not a number.
std::optional<std::string> text_of(const Option& option, const toml::node& node)
{
    switch (option.kind) {
    case Kind::boolean:
        return node.is_boolean() ? std::optional<std::string>{node.as_boolean()->get() ? "true" : "false"}
                                 : std::nullopt;
    case Kind::number:
        return node.is_integer()          ? std::optional{fmt::format("{}", node.as_integer()->get())}
            : node.is_floating_point()    ? std::optional{fmt::format("{}", node.as_floating_point()->get())}
                                          : std::nullopt;
    case Kind::bytes:
    case Kind::duration: // a bare number is a count of bytes; for durations only 0 goes without a unit
        if (node.is_integer()) {
            return fmt::format("{}", node.as_integer()->get());
        }
        [[fallthrough]];
    case Kind::json:
        if (node.is_table()) {
            std::string text;
            return append_json(text, node) ? std::optional{text} : std::nullopt;
        }
        [[fallthrough]];
    case Kind::text: return node.is_string() ? std::optional{node.as_string()->get()} : std::nullopt;
    }
    return std::nullopt;
}

std::string_view section_of(std::string_view key) { return key.substr(0, key.find_last_of('.') + 1); }
std::string last_of(std::string_view key) { return std::string{key.substr(key.find_last_of('.') + 1)}; }

/// A mistyped neighbour in the same section, else a key of that name in another section ("port" where
/// "discovery.port" was meant).
std::string nearest_key(const std::string& key, const std::vector<std::string>& names)
{
    for (const bool same_section : {true, false}) {
        std::vector<std::string> words;
        for (const std::string& name : names) {
            words.push_back(same_section && section_of(name) != section_of(key) ? std::string{}
                                                                                : last_of(name));
        }
        const std::string best = base::nearest(last_of(key), words);
        const auto found = std::ranges::find(words, best);
        if (!best.empty() && found != words.end()) {
            return fmt::format(" (did you mean \"{}\"?)",
                               names[static_cast<std::size_t>(found - words.begin())]);
        }
    }
    return {};
}

Result<void> Reader::value(Option& option, const std::string& key, const toml::node& node) const
{
    const Origin origin{From::file, place(node.source())};
    std::vector<std::string> texts;
    const toml::array* array = node.as_array();
    if (array != nullptr && option.is_list) {
        for (const toml::node& element : *array) {
            const auto text = text_of(option, element);
            if (!text) {
                return refuse(element.source(), fmt::format("{} expects a list of strings", key));
            }
            texts.push_back(*text);
        }
    } else if (const auto text = text_of(option, node)) {
        texts.push_back(*text);
    } else {
        const std::string what = option.kind == Kind::boolean ? "true or false"
            : option.kind == Kind::json ? option.expects
            : option.kind == Kind::text ? (option.is_list ? "a list of strings" : "a string in quotes")
                                        : option.expects;
        return refuse(node.source(), fmt::format("{} expects {}", key, what));
    }
    auto done = assign(option, texts, {From::file, fmt::format("{}: {}", origin.place, key)});
    option.origin.place = origin.place;
    return done;
}

/// A table whose keys are names that a person chose, but for those that have a row of their own. Checked name by name,
/// so that the fault has its line.
Result<void> Reader::pairs(Table& rows, Option& option, const toml::table& from) const
{
    const std::string& key = option.row.key;
    std::vector<std::string> texts;
    for (const auto& [word, element] : from) {
        if (Option* own = rows.find(fmt::format("{}.{}", key, word.str())); own != nullptr && own->row.in_file) {
            if (auto done = value(*own, own->row.key, element); !done) {
                return done;
            }
            continue;
        }
        const auto text = text_of(option, element);
        if (!text) {
            return refuse(element.source(),
                          fmt::format("{}.{} expects {}", key, word.str(), option.kind == Kind::json ? option.expects : "a string in quotes"));
        }
        texts.push_back(fmt::format("{}={}", word.str(), *text));
        if (auto done = option.assign(texts); !done) {
            const std::string& why = done.error().context;
            return refuse(element.source(),
                          fmt::format("{}.{}: {}", key, word.str(), why.empty() ? "expected " + option.expects : why));
        }
    }
    return assign(option, texts, {From::file, place(from.source())});
}

std::unexpected<base::Error> Reader::unknown(const Table& rows, const std::string& key, bool is_table,
                                             const toml::source_region& source) const
{
    std::vector<std::string> names;
    for (const Option& option : rows.options()) {
        if (option.row.in_file && !option.row.hidden) {
            const auto dot = option.row.key.rfind('.');
            names.push_back(option.row.key);
            if (is_table && dot != std::string::npos) {
                names.push_back(option.row.key.substr(0, dot));
            }
        }
    }
    for (const Repeated& repeated : rows.repetitions()) {
        names.push_back(repeated.key);
    }
    return refuse(
        source,
        fmt::format("unknown {} \"{}\"{}", is_table ? "section" : "key", key, nearest_key(key, names)));
}

Result<void> Reader::check_item(const Repeated& repeated, Table& rows, const toml::node& node,
                                std::map<std::string, std::int64_t>& seen) const
{
    for (const std::string& key : repeated.required) {
        const Option* option = rows.find(key);
        if (option == nullptr || option->origin.from == From::built_in) {
            return refuse(node.source(), fmt::format("[[{}]] needs a {}", repeated.key, key));
        }
    }
    if (repeated.check) {
        if (const std::string wrong = repeated.check(rows); !wrong.empty()) {
            return refuse(node.source(), fmt::format("[[{}]] {}", repeated.key, wrong));
        }
    }
    for (const std::string& key : repeated.unique) {
        const Option* option = rows.find(key);
        for (const std::string& text : option == nullptr ? std::vector<std::string>{} : option->show()) {
            const auto line = static_cast<std::int64_t>(node.source().begin.line);
            const auto [entry, fresh] = seen.emplace(key + "=" + text, line);
            if (!text.empty() && !fresh) {
                return refuse(node.source(),
                              fmt::format("another [[{}]] (line {}) has the {} \"{}\" already", repeated.key,
                                          entry->second, key, text));
            }
        }
    }
    return {};
}

Result<void> Reader::tables(const Repeated& repeated, const toml::node& node) const
{
    const toml::array* array = node.as_array();
    if (array == nullptr || (!array->empty() && !array->is_array_of_tables())) {
        return refuse(node.source(), fmt::format("write [[{}]], once for each", repeated.key));
    }
    repeated.clear();
    std::map<std::string, std::int64_t> seen;
    for (std::size_t i = 0; i < array->size(); ++i) {
        repeated.append();
        Table rows{std::string{}};
        repeated.rows(rows, i);
        const toml::node& item = *array->get(i);
        if (auto done = table(rows, *item.as_table(), ""); !done) {
            return done;
        }
        if (auto done = check_item(repeated, rows, item, seen); !done) {
            return done;
        }
    }
    return {};
}

Result<void> Reader::table(Table& rows, const toml::table& from, const std::string& section) const
{
    for (const auto& [word, node] : from) {
        const std::string key =
            section.empty() ? std::string{word.str()} : section + "." + std::string{word.str()};
        Option* option = rows.find(key);
        const auto options = rows.options();
        const bool is_section = std::ranges::any_of(options, [&](const Option& each) {
            return each.row.in_file && each.row.key.starts_with(key + ".");
        });
        const auto repeated = std::ranges::find(rows.repetitions(), key, &Repeated::key);
        Result<void> done;
        if (option != nullptr && option->row.in_file && option->row.pairs && node.is_table()) {
            done = pairs(rows, *option, *node.as_table());
        } else if (option != nullptr && option->row.in_file) {
            done = value(*option, key, node);
        } else if (repeated != rows.repetitions().end()) {
            done = tables(*repeated, node);
        } else if (is_section && node.is_table()) {
            done = table(rows, *node.as_table(), key);
        } else if (is_section) {
            return refuse(word.source(), fmt::format("{} is a section: write [{}]", key, key));
        } else {
            return unknown(rows, key, node.is_table() || node.is_array_of_tables(), word.source());
        }
        if (!done) {
            return done;
        }
    }
    return {};
}

} // namespace

Result<void> read_toml(Table& table, std::string_view document, const std::string& name)
{
    try {
        const toml::table root = toml::parse(document, name);
        return Reader{name}.table(table, root, "");
    } catch (const toml::parse_error& error) {
        return base::fail(
            base::Errc::bad_config,
            fmt::format("{} line {}: {}", name, error.source().begin.line, std::string{error.description()}));
    }
}

Result<void> read_file(Table& table, const std::string& path, const std::string& name)
{
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) { // can be opened, and only a read fails, without a reason
        return base::fail(base::Errc::bad_config, fmt::format("cannot read {}: {}", name, std::make_error_code(std::errc::is_a_directory).message()));
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        const std::error_code cause(errno, std::generic_category());
        return base::fail(base::Errc::bad_config, fmt::format("cannot read {}: {}", name, cause.message()));
    }
    std::string document(file_bytes_max + 1, '\0');
    file.read(document.data(), static_cast<std::streamsize>(document.size()));
    document.resize(static_cast<std::size_t>(file.gcount()));
    if (file.bad() || (file.fail() && !file.eof())) {
        return base::fail(base::Errc::bad_config, fmt::format("cannot read {}", name));
    }
    if (document.size() > file_bytes_max) {
        return base::fail(base::Errc::bad_config, fmt::format("{} is larger than 1 MiB", name));
    }
    return read_toml(table, document, name);
}

} // namespace herd::config
