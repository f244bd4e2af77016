#include "http/internal/head_scan.hpp"

#include "http/internal/grammar.hpp"

#include <algorithm>
#include <cstring>

namespace herd::http::internal {

namespace {

std::unexpected<base::Error> malformed(std::string why) { return base::fail(base::Errc::malformed, std::move(why)); }
std::unexpected<base::Error> too_large(std::string what) { return base::fail(base::Errc::too_large, std::move(what)); }

bool is_version(std::string_view text) { return text == "HTTP/1.1" || text == "HTTP/1.0"; }

base::Result<void> check_status_line(std::string_view line)
{
    // "HTTP/1.1 200 OK"; the space before an empty reason is often forgotten and harmless.
    const bool ok = line.size() >= 12 && is_version(line.substr(0, 8)) && line[8] == ' ' && line[9] >= '1'
                    && line[9] <= '5' && is_digit(line[10]) && is_digit(line[11])
                    && (line.size() == 12 || line[12] == ' ') && is_value(line.substr(12));
    if (!ok) {
        return malformed("status line");
    }
    return {};
}

base::Result<void> check_field(std::string_view line)
{
    const auto colon = line.find(':');
    if (line.front() == ' ' || line.front() == '\t') {
        return malformed("folded field");
    }
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
        return malformed("field name");
    }
    if (!is_value(line.substr(colon + 1))) {
        return malformed("field value");
    }
    return {};
}

} // namespace

void HeadScan::restart()
{
    line_at_ = searched_ = fields_ = 0;
    started_ = false;
}

base::Result<bool> HeadScan::scan(std::string_view head)
{
    for (;;) {
        const void* found = searched_ < head.size()
                                ? std::memchr(head.data() + searched_, '\n', head.size() - searched_)
                                : nullptr;
        if (found == nullptr) {
            searched_ = static_cast<std::uint32_t>(head.size());
            if (const auto ok = check_unfinished(head.substr(line_at_)); !ok) {
                return std::unexpected(ok.error());
            }
            if (head.size() > limits_.head_bytes) {
                return too_large("head");
            }
            return false;
        }
        const auto end = static_cast<std::size_t>(static_cast<const char*>(found) - head.data());
        if (end + 1 > limits_.head_bytes) {
            return too_large(started_ ? "head" : "target");
        }
        if (end == line_at_ || head[end - 1] != '\r') {
            return malformed("bare LF");
        }
        const std::string_view line = head.substr(line_at_, end - 1 - line_at_);
        line_at_ = searched_ = static_cast<std::uint32_t>(end + 1);
        if (started_ && line.empty()) {
            return true;
        }
        if (const auto ok = started_ ? check_field(line) : check_start(line); !ok) {
            return std::unexpected(ok.error());
        }
        fields_ += started_ ? 1 : 0;
        started_ = true;
        if (fields_ > limits_.fields) {
            return too_large("fields");
        }
    }
}

base::Result<void> HeadScan::check_start(std::string_view line) const
{
    return role_ == Parser::Role::request ? check_request_line(line) : check_status_line(line);
}

base::Result<void> HeadScan::check_request_line(std::string_view line) const
{
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos || !is_token(line.substr(0, first))) {
        return malformed("request line");
    }
    const std::string_view target = line.substr(first + 1, second - first - 1);
    if (target.size() > limits_.target_bytes) {
        return too_large("target");
    }
    const bool asterisk = target == "*" && line.substr(0, first) == "OPTIONS";
    const bool origin = target.starts_with('/')
                        && std::ranges::all_of(target, [](char c) { return is_visible(c) && c != '#'; });
    if (!asterisk && !origin && !absolute_form(target)) {
        return malformed("target");
    }
    if (!is_version(line.substr(second + 1))) {
        return malformed("version");
    }
    return {};
}

base::Result<void> HeadScan::check_unfinished(std::string_view rest) const
{
    // Garbage (a TLS hello, an endless target) is told at once, not after the head deadline.
    if (!started_) {
        const std::string_view begin = rest.substr(0, 32);
        if (!std::ranges::all_of(begin, [](char c) { return is_value(c) || c == '\r'; })) {
            return malformed("start line");
        }
        if (rest.size() > limits_.target_bytes + 64) {
            return too_large("target");
        }
    }
    return {};
}

} // namespace herd::http::internal
