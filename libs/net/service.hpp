#pragma once
// Talking to systemd without its library: the protocol is one datagram of KEY=VALUE lines to the socket in
// $NOTIFY_SOCKET (sd_notify(3)). Under any other starter every call does nothing.
#include "base/time.hpp"
#include "net/socket.hpp"
#include "net/timer.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace herd::net {

/// Whether standard error goes to systemd's journal. `journal_stream`: the variable JOURNAL_STREAM, "device:inode" of what the
/// journal was given; a child whose output somebody redirected inherits the variable all the same.
[[nodiscard]] bool stderr_is_journal(std::string_view journal_stream);

/// Thread: one owner.
class ServiceNotifier {
public:
    ServiceNotifier() = default;
    /// `socket`, `watchdog_usec`, `watchdog_pid`: the variables NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID,
    /// empty where they are not set.
    ServiceNotifier(std::string_view socket, std::string_view watchdog_usec, std::string_view watchdog_pid);

    [[nodiscard]] bool active() const { return fd_.valid(); }
    /// "READY=1" with a status line for `systemctl status`. Also ends a reload.
    void ready(std::string_view status) const;
    void reloading() const;
    void stopping() const;
    void status(std::string_view text) const;
    /// Tells systemd's watchdog at half its interval that `loop` still turns; stops with this object.
    void start_watchdog(Loop& loop);
    [[nodiscard]] std::optional<base::Duration> watchdog_interval() const { return interval_; }

private:
    void send(std::string_view message) const;
    void beat();
    Fd fd_{};
    std::optional<base::Duration> interval_{};
    std::unique_ptr<Timer> timer_{};
};

} // namespace herd::net
