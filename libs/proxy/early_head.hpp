#pragma once
// A stream of server-sent events whose first token is far away: the client gets the head of its answer, and then a
// comment now and again that says what it waits for, instead of minutes of silence that look like a hang. Comments
// are no events, so clients read over them. Never used for NDJSON, where every line is one.
// Source: reference/parity.md 1.4.
#include "http/server.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"

#include <functional>
#include <string>

namespace herd::proxy {

/// Thread: the exchange's loop.
class EarlyHead {
public:
    static constexpr base::Duration heartbeat = std::chrono::seconds{10};

    /// `head` is asked when the time comes, `words` for each comment; one line.
    EarlyHead(http::ServerExchange& client, std::function<http::ResponseHead()> head,
              std::function<net::Task<std::string>()> words);
    EarlyHead(const EarlyHead&) = delete;
    EarlyHead& operator=(const EarlyHead&) = delete;
    /// Requires: stop() has returned.
    ~EarlyHead() = default;

    /// The first word at `when`.
    void start(base::Instant when);
    /// Nothing is said any more, and nothing is being written, when this returns. Once or more.
    [[nodiscard]] net::Task<void> stop();

    /// A comment with `words` in it: "queued 3rd, about 12 s" → ": queued 3rd, about 12 s\n\n".
    [[nodiscard]] static std::string comment(std::string_view words);

private:
    net::Task<void> beat();

    http::ServerExchange& client_;
    std::function<http::ResponseHead()> head_;
    std::function<net::Task<std::string>()> words_;
    net::Timer timer_;
    net::TaskGroup tasks_;
    bool stopped_{false};
};

/// "1st", "2nd", "3rd", "11th".
[[nodiscard]] std::string ordinal(int number);

} // namespace herd::proxy
