#include "config/values.hpp"

#include "base/text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::config {

namespace {

constexpr std::size_t name_bytes_max = 63;

bool has_control(std::string_view text)
{
    return std::ranges::any_of(text,
                               [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

std::unexpected<base::Error> refuse(std::string why)
{
    return base::fail(base::Errc::bad_config, std::move(why));
}

} // namespace

Result<base::Endpoint> parse_listen(std::string_view text, std::uint16_t default_port)
{
    std::string_view host = text;
    std::uint16_t port = default_port;
    const auto port_only = base::parse_unsigned(text);
    const auto colon = text.rfind(':');
    const bool bare_v6 = base::IpAddress::parse(text).has_value();
    if (port_only) {
        host = {};
    } else if (!bare_v6 && colon != std::string_view::npos
               && text.find(']', colon) == std::string_view::npos) {
        host = text.substr(0, colon);
    }
    if (port_only || host.size() != text.size()) {
        const auto number = port_only ? port_only : base::parse_unsigned(text.substr(colon + 1));
        if (!number || *number > 65535) {
            return refuse("the port must be a number from 0 to 65535");
        }
        port = static_cast<std::uint16_t>(*number);
    }
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    if (host.empty() || host == "*") {
        return base::Endpoint{base::IpAddress{}, port};
    }
    if (base::iequals(host, "localhost")) {
        return base::Endpoint{base::IpAddress::loopback(), port};
    }
    const auto address = base::IpAddress::parse(host);
    if (!address) {
        return refuse(
            fmt::format("\"{}\" is not an address of this machine; write it in numbers, such as 0.0.0.0:{}",
                        host, default_port));
    }
    return base::Endpoint{*address, port};
}

Result<std::string> parse_name(std::string_view text)
{
    if (text.empty() || text.size() > name_bytes_max || !base::is_utf8(text) || has_control(text)) {
        return refuse("a name has 1 to 63 bytes of UTF-8 and no control characters");
    }
    return std::string{text};
}

Result<std::string> parse_label(std::string_view text)
{
    if (text.empty() || text.size() > name_bytes_max || !base::is_utf8(text) || has_control(text)
        || text.find_first_of(", ") != std::string_view::npos) {
        return refuse("a label has 1 to 63 bytes, no comma, space or control character");
    }
    return std::string{text};
}

Option& add_listen(Table& table, Row row, std::vector<base::Endpoint>& into, std::uint16_t default_port)
{
    return table.parsed_list(
        std::move(row), into, "HOST:PORT",
        [default_port](std::string_view text) { return parse_listen(text, default_port); },
        [](const base::Endpoint& endpoint) { return endpoint.text(); });
}

Option& add_name(Table& table, Row row, std::string& into)
{
    return table.parsed(std::move(row), into, "a name", parse_name,
                        [](const std::string& name) { return name; });
}

Option& add_labels(Table& table, Row row, std::vector<std::string>& into)
{
    return table.parsed_list(std::move(row), into, "labels", parse_label,
                             [](const std::string& label) { return label; });
}

void add_log_rows(Table& table, log::Options& into)
{
    table.group("Log");
    table.choice({.key = "log.level",
                  .flags = "--log-level",
                  .value_name = "LEVEL",
                  .sentence = "How much to say: trace, debug, info, warn or error."},
                 into.level,
                 std::vector<std::pair<std::string, log::Level>>{{"trace", log::Level::trace},
                                                                 {"debug", log::Level::debug},
                                                                 {"info", log::Level::info},
                                                                 {"warn", log::Level::warn},
                                                                 {"error", log::Level::error}});
    table.choice({.key = "log.format",
                  .flags = "--log-format",
                  .value_name = "text|json",
                  .sentence = "One line per event: logfmt text, or JSON.",
                  .restart = true},
                 into.format,
                 std::vector<std::pair<std::string, log::Format>>{{"text", log::Format::text},
                                                                  {"json", log::Format::json}});
    table.text({.key = "log.file",
                .flags = "--log-file",
                .value_name = "FILE",
                .sentence = "Write the log there instead of to standard error; reopened on SIGHUP. A daemon "
                            "without it logs into its state directory.",
                .restart = true},
               into.file);
}

void add_daemon_rows(Table& table, bool& daemon, std::string& pid_file)
{
    table.group("Background");
    table.boolean(
        {.key = "daemon",
         .flags = "-d,--daemon",
         .sentence = "Run in the background; returns when ready, or prints why not. Not for systemd.",
         .restart = true,
         .in_file = false,
         .in_environment = false},
        daemon);
    table.text({.key = "pid_file",
                .flags = "--pid-file",
                .value_name = "FILE",
                .sentence = "Hold this file with a lock, so that it runs once. A daemon without it holds one "
                            "in its state directory.",
                .restart = true},
               pid_file);
}

void add_config_rows(Table& table, std::string& file, bool& check, bool& dump, const std::string& file_name)
{
    table.group("Configuration");
    table.text({.key = "config",
                .flags = "--config",
                .value_name = "FILE",
                .sentence = fmt::format("Read settings from this TOML file instead of the first of ./{0}, "
                                        "$XDG_CONFIG_HOME/herd/{0}, /etc/herd/{0}.",
                                        file_name),
                .in_file = false},
               file);
    table.boolean(
        {.key = "check_config",
         .flags = "--check-config",
         .sentence = "Check everything, print the settings in force and where each came from, and exit.",
         .in_file = false,
         .in_environment = false},
        check);
    table.boolean({.key = "dump_config_docs",
                   .flags = "--dump-config-docs",
                   .sentence = "Print the reference of all settings.",
                   .hidden = true,
                   .in_file = false,
                   .in_environment = false},
                  dump);
}

} // namespace herd::config
