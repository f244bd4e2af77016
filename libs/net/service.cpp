#include "net/service.hpp"

#include "base/text.hpp"

#include <cstddef>
#include <cstring>
#include <ctime>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace herd::net {

namespace {

/// Connected to systemd's socket, which may be abstract ("@…"); invalid when that is not possible.
Fd connect_to(std::string_view path)
{
    ::sockaddr_un address{};
    if (path.size() < 2 || path.size() >= sizeof address.sun_path
        || (path.front() != '/' && path.front() != '@')) {
        return Fd{};
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path.front() == '@') {
        address.sun_path[0] = '\0';
    }
    const auto length = static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + path.size());
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()
        || ::connect(fd.get(), reinterpret_cast<const ::sockaddr*>(&address), length) != 0) { // NOLINT
        return Fd{};
    }
    return fd;
}

} // namespace

bool stderr_is_journal(std::string_view journal_stream)
{
    struct ::stat is{};
    return !journal_stream.empty() && ::fstat(STDERR_FILENO, &is) == 0
        && journal_stream == std::to_string(is.st_dev) + ':' + std::to_string(is.st_ino);
}

ServiceNotifier::ServiceNotifier(std::string_view socket, std::string_view watchdog_usec,
                                 std::string_view watchdog_pid)
    : fd_(connect_to(socket))
{
    const auto usec = base::parse_unsigned(watchdog_usec);
    const auto pid = base::parse_unsigned(watchdog_pid);
    const bool meant_for_us = watchdog_pid.empty() || pid == static_cast<std::uint64_t>(::getpid());
    if (fd_.valid() && usec && *usec > 0 && *usec < 86'400'000'000 && meant_for_us) {
        interval_ = std::chrono::microseconds{*usec};
    }
}

void ServiceNotifier::send(std::string_view message) const
{
    if (fd_.valid()) {
        // Never waits: a full queue of systemd's must not hold a loop. A lost status line harms nobody.
        (void)::send(fd_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void ServiceNotifier::ready(std::string_view text) const
{
    send("READY=1\nSTATUS=" + std::string{text} + "\n");
}

void ServiceNotifier::reloading() const
{
    ::timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now); // systemd compares it with its own (Type=notify-reload)
    const auto usec = now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec) + "\n");
}

void ServiceNotifier::stopping() const { send("STOPPING=1\n"); }

void ServiceNotifier::status(std::string_view text) const { send("STATUS=" + std::string{text} + "\n"); }

void ServiceNotifier::start_watchdog(Loop& loop)
{
    if (interval_) {
        timer_ = std::make_unique<Timer>(loop);
        beat();
    }
}

void ServiceNotifier::beat()
{
    send("WATCHDOG=1\n");
    timer_->call_after(*interval_ / 2, [this] { beat(); });
}

} // namespace herd::net
