#pragma once
// The admin API's answers as tables for people. Strict about nothing: a field that is missing or of another
// type is left blank, so that old and new versions can talk. Names are cleaned of control characters.
#include "base/error.hpp"
#include "base/time.hpp"
#include "cli/terminal.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

/// Errors (all of them): malformed, when the body is not a JSON object.
[[nodiscard]] base::Result<void> print_status(std::string_view body, std::string_view url,
                                              const cli::Terminal& terminal);
[[nodiscard]] base::Result<void> print_nodes(std::string_view body, const cli::Terminal& terminal);
/// The node that POST /herd/v1/nodes added, as its first probe found it.
[[nodiscard]] base::Result<void> print_added(std::string_view body, const std::string& url, const cli::Terminal& terminal);
[[nodiscard]] base::Result<void> print_models(std::string_view body, const cli::Terminal& terminal);
/// `now` turns expiry times into "4 min from now".
[[nodiscard]] base::Result<void> print_loaded(std::string_view body, base::WallTime now,
                                              const cli::Terminal& terminal);

/// The frontend that POST /herd/v1/use changed.
[[nodiscard]] base::Result<void> print_use(std::string_view body, const cli::Terminal& terminal);

/// "everything is sent to box1, which is offline; `herd use auto` undoes it"
[[nodiscard]] std::string use_words(const std::string& frontend, const std::string& node, const std::string& state);

/// The "error" of a JSON body in any dialect; empty when there is none.
[[nodiscard]] std::string error_of(std::string_view body);
/// A whole number among the members; 0 when there is none.
[[nodiscard]] std::uint64_t number_of(std::string_view body, std::string_view key);
/// The body of POST /herd/v1/nodes.
[[nodiscard]] std::string node_json(const std::string& url, const std::string& name,
                                    const std::vector<std::string>& labels);

/// RFC 3339, fractions and offset included. Nothing when malformed.
[[nodiscard]] std::optional<base::WallTime> parse_timestamp(std::string_view text);
/// When a key ends: a date (2027-01-31), a time (RFC 3339) or a span from `now` (90d). Nothing when malformed.
[[nodiscard]] std::optional<base::WallTime> parse_expiry(std::string_view text, base::WallTime now);

} // namespace herd::app
