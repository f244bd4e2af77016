#include "posix.hpp"

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::bench {

namespace {

const ::sockaddr* generic(const ::sockaddr_in& address)
{
    return reinterpret_cast<const ::sockaddr*>(&address); // NOLINT: the socket API's own idiom
}

std::optional<std::uint32_t> parse_number(std::string_view text)
{
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
        return std::nullopt;
    }
    return value;
}

} // namespace

std::optional<::sockaddr_in> parse_address(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    const auto port = parse_number(text.substr(colon + 1));
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    const std::string host(text.substr(0, colon));
    if (!port || *port == 0 || *port > 65535 || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
        return std::nullopt;
    }
    address.sin_port = htons(static_cast<std::uint16_t>(*port));
    return address;
}

int listen_loopback(std::uint16_t port)
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    const int on = 1;
    (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, generic(address), sizeof address) != 0 || ::listen(fd, 4096) != 0) {
        ::close(fd);
        return -1;
    }
    return fd;
}

std::uint16_t local_port(int fd)
{
    ::sockaddr_in address{};
    ::socklen_t length = sizeof address;
    (void)::getsockname(fd, reinterpret_cast<::sockaddr*>(&address), &length); // NOLINT: the socket API's own idiom
    return ntohs(address.sin_port);
}

int start_connect(const ::sockaddr_in& to)
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    set_no_delay(fd);
    if (::connect(fd, generic(to), sizeof to) != 0 && errno != EINPROGRESS) {
        ::close(fd);
        return -1;
    }
    return fd;
}

void set_no_delay(int fd)
{
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void live_with_parent()
{
    (void)::prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)std::signal(SIGPIPE, SIG_IGN);
}

std::int64_t cpu_ns(int pid)
{
    ::clockid_t clock{};
    ::timespec time{};
    if (pid <= 0 || ::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) {
        return -1;
    }
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::int64_t rss_bytes(int pid)
{
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
        }
    }
    return -1;
}

std::optional<std::string_view> option(int argc, char** argv, std::string_view name)
{
    for (int i = 1; i + 1 < argc; ++i) {
        if (name == argv[i]) {
            return argv[i + 1];
        }
    }
    return std::nullopt;
}

std::uint32_t number_option(int argc, char** argv, std::string_view name, std::uint32_t otherwise)
{
    const auto text = option(argc, argv, name);
    if (!text) {
        return otherwise;
    }
    const auto value = parse_number(*text);
    if (!value) {
        std::fprintf(stderr, "%.*s wants a whole number\n", static_cast<int>(name.size()), name.data());
        std::exit(2);
    }
    return *value;
}

} // namespace herd::bench
