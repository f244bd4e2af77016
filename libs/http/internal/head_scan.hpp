#pragma once
// The first reader of a head: goes over its raw bytes once, line by line, as they arrive, and refuses
// whatever two programs could read differently: bare LF or CR, folded lines, control characters, space
// before the colon, odd start lines. llhttp reads only heads that passed, and must see the same fields.
#include "base/error.hpp"
#include "http/parser.hpp"

#include <string_view>

namespace herd::http::internal {

class HeadScan {
public:
    HeadScan(Parser::Role role, const ParserLimits& limits) : limits_(limits), role_(role) {}

    /// Reads on. `head` is everything since the first byte of the head (it may have moved since the last
    /// call, and may go beyond the head). True when the empty line was seen.
    /// Requires: less than 4 GiB. Errors: malformed, too_large ("head", "target", "fields").
    [[nodiscard]] base::Result<bool> scan(std::string_view head);
    [[nodiscard]] std::size_t size() const { return line_at_; } ///< of the whole head, once complete
    [[nodiscard]] std::size_t fields() const { return fields_; }
    void restart();

private:
    [[nodiscard]] base::Result<void> check_start(std::string_view line) const;
    [[nodiscard]] base::Result<void> check_request_line(std::string_view line) const;
    [[nodiscard]] base::Result<void> check_unfinished(std::string_view rest) const;

    const ParserLimits& limits_;
    std::uint32_t line_at_{0};  // where the first line that is not checked yet begins
    std::uint32_t searched_{0}; // no LF between line_at_ and here
    std::uint32_t fields_{0};
    Parser::Role role_;
    bool started_{false}; // the start line was checked
};

} // namespace herd::http::internal
