#pragma once
// The few system calls that the benchmark's programs share. They are written on plain epoll on purpose: what
// measures herd should not be made of herd.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <netinet/in.h>

namespace herd::bench {

/// "127.0.0.1:8080" → address; nothing when it is not numeric.
[[nodiscard]] std::optional<::sockaddr_in> parse_address(std::string_view text);

/// Listens on 127.0.0.1:`port` (0: any), non-blocking. Returns the descriptor, or -1 with errno.
[[nodiscard]] int listen_loopback(std::uint16_t port);
[[nodiscard]] std::uint16_t local_port(int fd);
/// Begins a non-blocking connect with TCP_NODELAY. Returns the descriptor, or -1 with errno.
[[nodiscard]] int start_connect(const ::sockaddr_in& to);
void set_no_delay(int fd);

/// Lets a benchmark program die with the driver that started it, and a vanished peer be an error, not a signal.
void live_with_parent();

/// CPU time that a process used since its start, all threads, user and system, in nanoseconds; -1 when it is gone.
/// The number that utime + stime of /proc/PID/stat show in ticks of 10 ms.
[[nodiscard]] std::int64_t cpu_ns(int pid);
/// VmRSS of a process in bytes; -1 when it is gone.
[[nodiscard]] std::int64_t rss_bytes(int pid);

/// "--name VALUE" among the program's arguments.
[[nodiscard]] std::optional<std::string_view> option(int argc, char** argv, std::string_view name);
/// The same as a number; `otherwise` when absent. Ends the program with a sentence and code 2 when malformed.
[[nodiscard]] std::uint32_t number_option(int argc, char** argv, std::string_view name, std::uint32_t otherwise);

} // namespace herd::bench
