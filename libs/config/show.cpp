#include "config/show.hpp"

#include "base/text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::config {

namespace {

constexpr std::size_t help_width = 100;
constexpr std::size_t help_indent = 30;
constexpr std::string_view stars = "********";

std::string joined(const std::vector<std::string>& texts)
{
    return fmt::format("{}", fmt::join(texts, ", "));
}

std::string wrap(std::string_view text, std::size_t indent)
{
    std::string out;
    std::size_t column = indent;
    for (const auto word : base::split_list(text, ' ')) {
        if (column > indent && column + 1 + word.size() > help_width) {
            out += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (column > indent) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    return out;
}

std::string help_flags(const Option& option)
{
    std::string flags;
    bool has_short = false;
    for (const auto flag : base::split_list(option.row.flags)) {
        has_short = has_short || (flag.size() == 2 && flag[1] != '-');
        flags += (flags.empty() ? "" : ", ") + std::string{flag};
    }
    if (!has_short) {
        flags.insert(0, "    ");
    }
    if (option.takes_value()) {
        flags += " " + (option.row.value_name.empty() ? std::string{"VALUE"} : option.row.value_name);
    }
    return flags;
}

/// The default worth showing: not an empty one, not "off".
std::string help_default(const Option& option)
{
    const std::string text = joined(option.built_in);
    if (text.empty() || option.row.secret || (option.kind == Kind::boolean && !option.row.on_off)) {
        return {};
    }
    if (option.kind == Kind::boolean) {
        return text == "true" ? " (on)" : " (off)";
    }
    return " (" + text + ")";
}

std::string toml_string(std::string_view text)
{
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\u{:04X}", byte);
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string toml_value(const Option& option, const std::vector<std::string>& texts)
{
    if (option.row.secret) {
        const bool is_set = !texts.empty() && !texts.front().empty();
        const std::string shown = is_set ? toml_string(stars) : std::string{};
        return option.is_list ? "[" + shown + "]" : is_set ? shown : "\"\"";
    }
    const bool bare = option.kind == Kind::boolean || option.kind == Kind::number;
    if (!option.is_list) {
        return bare ? texts.front() : toml_string(texts.front());
    }
    std::string out;
    for (const std::string& text : texts) {
        out += (out.empty() ? "" : ", ") + toml_string(text);
    }
    return "[" + out + "]";
}

std::string toml_value(const Option& option) { return toml_value(option, option.show()); }

std::string section_of(const std::string& key)
{
    const auto dot = key.rfind('.');
    return dot == std::string::npos ? std::string{} : key.substr(0, dot);
}

void append_line(std::string& out, const Option& option, bool whole_key = false)
{
    const auto dot = option.row.key.rfind('.');
    const std::string name =
        whole_key || dot == std::string::npos ? option.row.key : option.row.key.substr(dot + 1);
    const std::string line = fmt::format("{} = {}", name, toml_value(option));
    out +=
        option.origin.from == From::built_in ? line : fmt::format("{:<40} # {}", line, option.origin.place);
    out += '\n';
}

/// Pairs that share their section with rows of their own: written there, name by name.
bool is_section(const Table& table, const Option& option)
{
    return option.row.pairs && std::ranges::any_of(table.options(), [&](const Option& other) {
               return other.row.in_file && section_of(other.row.key) == option.row.key;
           });
}

void append_pairs(std::string& out, const Option& option)
{
    for (const std::string& text : option.show()) {
        const auto equals = text.find('=');
        out += fmt::format("{} = {}\n", toml_string(text.substr(0, equals)), toml_string(text.substr(equals + 1)));
    }
}

/// Keys that the file may hold, sections in the order of their first row.
std::vector<std::string> sections_of(const Table& table)
{
    std::vector<std::string> sections{""};
    for (const Option& option : table.options()) {
        const std::string section = section_of(option.row.key);
        if (option.row.in_file && std::ranges::find(sections, section) == sections.end()) {
            sections.push_back(section);
        }
    }
    return sections;
}

std::string cell(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        out += c == '|' ? std::string{"\\|"} : std::string{c};
    }
    return out;
}

std::string code(const std::string& text) { return text.empty() ? std::string{} : "`" + cell(text) + "`"; }

std::string reference_row(const Option& option, bool in_element)
{
    std::string meaning = (option.row.negated ? "With `false`: " : "") + option.row.sentence;
    if (option.kind == Kind::number
        || (option.kind == Kind::text && option.expects.find(" | ") != std::string::npos)) {
        meaning += fmt::format(" *{}*.", option.expects);
    } else if (option.is_list && (!option.row.pairs || !option.environment.empty())) {
        meaning += " *A list; comma separated in the environment.*";
    }
    if (option.row.restart) {
        meaning += " *Needs a restart.*";
    }
    std::string flags;
    for (const auto flag : base::split_list(option.row.flags)) {
        flags += (flags.empty() ? "" : ", ") + code(std::string{flag});
    }
    const std::string key = option.row.in_file ? code(option.row.key) : "";
    std::string text = joined(option.built_in);
    if (option.kind == Kind::boolean && option.row.on_off) {
        text = text == "true" ? "on" : "off";
    }
    return in_element ? fmt::format("| {} | {} | {} |\n", key, code(text), cell(meaning))
                      : fmt::format("| {} | {} | {} | {} | {} |\n", key, flags, code(option.environment),
                                    code(text), cell(meaning));
}

} // namespace

std::string help_line(std::string_view left, std::string_view right)
{
    std::string out = "  " + std::string{left};
    if (out.size() + 2 > help_indent) {
        out += "\n" + std::string(help_indent, ' ');
    } else {
        out.resize(help_indent, ' ');
    }
    return out + wrap(right, help_indent) + "\n";
}

std::string help_options(const Table& table)
{
    std::string out;
    std::string group;
    std::string without_flag;
    for (const Option& option : table.options()) {
        if (option.row.hidden) {
            continue;
        }
        if (option.row.flags.empty()) {
            const std::string value = joined(option.built_in);
            without_flag +=
                (without_flag.empty() ? "" : ", ") + option.row.key + (value.empty() ? "" : "=" + value);
            continue;
        }
        if (option.group != group) {
            group = option.group;
            out += "\n" + group + ":\n";
        }
        out += help_line(help_flags(option), option.row.sentence + help_default(option));
    }
    out += "\nOther:\n" + help_line("-h, --help", "Show this text and exit.");
    out += help_line("-V, --version", "Show the version and exit.");
    for (const Repeated& repeated : table.repetitions()) {
        without_flag += (without_flag.empty() ? "[[" : ", [[") + repeated.key + "]]";
    }
    if (!without_flag.empty()) {
        out += "\nOnly in the file or the environment (docs/config.md explains each):\n  "
            + wrap(without_flag, 2) + "\n";
    }
    return out;
}

std::string effective_toml(const Table& table)
{
    std::string out;
    for (const std::string& section : sections_of(table)) {
        if (!section.empty()) {
            out += fmt::format("\n[{}]\n", section);
        }
        for (const Option& option : table.options()) {
            if (option.row.in_file && is_section(table, option)) {
                if (section == option.row.key) {
                    append_pairs(out, option);
                }
                continue;
            }
            // An empty scalar is "not set", and not every parser takes an empty text back.
            const bool is_set = option.is_list || (option.kind != Kind::text && option.kind != Kind::json) || !option.show().front().empty();
            if (option.row.in_file && !option.row.hidden && is_set && section_of(option.row.key) == section) {
                append_line(out, option);
            }
        }
    }
    for (const Repeated& repeated : table.repetitions()) {
        for (std::size_t i = 0; i < repeated.count(); ++i) {
            Table rows{std::string{}};
            repeated.rows(rows, i);
            out += fmt::format("\n[[{}]]\n", repeated.key);
            for (const Option& option : rows.options()) {
                if (!option.row.hidden && (option.is_list || !option.show().front().empty())) {
                    append_line(out, option, true);
                }
            }
        }
    }
    return out;
}

namespace {

/// The elements of a [[repeated]] table, each with what is set in it.
std::string elements_json(const Repeated& repeated)
{
    std::string all;
    for (std::size_t i = 0; i < repeated.count(); ++i) {
        Table rows{std::string{}};
        repeated.rows(rows, i);
        Table nobody{std::string{}};
        repeated.describe(nobody);
        std::string one;
        for (std::size_t at = 0; at < rows.options().size(); ++at) {
            const Option& option = rows.options()[at];
            if (!option.row.hidden && option.show() != nobody.options()[at].show()) {
                one += fmt::format("{}{}:{}", one.empty() ? "" : ",", toml_string(option.row.key), toml_value(option));
            }
        }
        all += fmt::format("{}{{{}}}", all.empty() ? "" : ",", one);
    }
    return "[" + all + "]";
}

} // namespace

std::string effective_json(const Table& table)
{
    std::string out;
    for (const Option& option : table.options()) {
        if (option.row.in_file && !option.row.hidden) {
            // TOML's basic strings, numbers, booleans and arrays of them read the same in JSON.
            const bool built_in = option.origin.from == From::built_in;
            const auto& later = option.after_restart;
            out += fmt::format("{}{}:{{\"value\":{},\"from\":{}{}}}", out.empty() ? "" : ",",
                               toml_string(option.row.key), toml_value(option),
                               built_in ? "\"default\"" : toml_string(option.origin.place),
                               later ? ",\"after_restart\":" + toml_value(option, *later) : std::string{});
        }
    }
    for (const Repeated& repeated : table.repetitions()) {
        if (repeated.count() > 0) {
            out += fmt::format("{}{}:{{\"value\":{},\"from\":\"[[{}]]\"}}", out.empty() ? "" : ",", toml_string(repeated.key),
                               elements_json(repeated), repeated.key);
        }
    }
    return "{" + out + "}";
}

std::string quoted(std::string_view text) { return toml_string(text); }

std::string reference_markdown(const Table& table)
{
    std::string out;
    std::string group;
    for (const Option& option : table.options()) {
        if (option.row.hidden) {
            continue;
        }
        if (option.group != group) {
            group = option.group;
            out += fmt::format(
                "\n### {}\n\n| key | flag | environment | default | meaning |\n|---|---|---|---|---|\n",
                group);
        }
        out += reference_row(option, false);
    }
    for (const Repeated& repeated : table.repetitions()) {
        Table rows{std::string{}};
        repeated.describe(rows);
        out += fmt::format("\n### `[[{}]]`\n\n{}\n\n| key | default | meaning |\n|---|---|---|\n",
                           repeated.key, repeated.sentence);
        for (const Option& option : rows.options()) {
            out += option.row.hidden ? std::string{} : reference_row(option, true);
        }
    }
    return out;
}

} // namespace herd::config
