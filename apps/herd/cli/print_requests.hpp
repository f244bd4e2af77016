#pragma once
// Requests as lines for people: the list of `herd requests`, and line by line with --follow.
#include "base/error.hpp"
#include "cli/terminal.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace herd::app {

// `room`: columns of the terminal; what finds no room is left out, least important first. 0: all of it.

/// The answer of GET /herd/v1/requests, oldest first as in a log. Errors: malformed.
[[nodiscard]] base::Result<void> print_requests(std::string_view body, const cli::Terminal& terminal, std::size_t room = 0);

/// The heads of request_line(), of the same widths.
[[nodiscard]] std::string request_heads(const cli::Terminal& terminal, std::size_t room = 0);
/// One record as one line; empty when it is none (news that some were skipped is a line too).
[[nodiscard]] std::string request_line(std::string_view record, const cli::Terminal& terminal, std::size_t room = 0);

/// Takes a stream of server-sent events apart. Holds at most one event of 1 MiB; longer ones are dropped.
class EventReader {
public:
    using Take = std::function<void(std::string_view event, std::string_view data)>;
    void feed(std::string_view bytes, const Take& take);
    /// Of the last event; to go on from.
    [[nodiscard]] const std::string& last_id() const { return last_id_; }

private:
    void line(std::string_view text, const Take& take);
    std::string rest_{};
    std::string event_{};
    std::string data_{};
    std::string id_{};
    std::string last_id_{};
};

} // namespace herd::app
