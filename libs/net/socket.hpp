#pragma once
// File descriptors with an owner, and sockets that are bound before the program forks into a daemon.
#include "base/error.hpp"
#include "base/ip.hpp"

#include <utility>
#include <vector>

namespace herd::net {

/// Owns a file descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept
    {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }
    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset();

private:
    int fd_{-1};
};

struct BoundSocket {
    Fd fd{};
    base::Endpoint local{};
};

/// Binds and listens on a TCP port (0: any), `copies` times with SO_REUSEPORT when more than one loop will
/// accept. Refuses a port that another program listens on, although SO_REUSEPORT would allow it.
/// IPv6 wildcard sockets take IPv4 too. Errors: in_use, io (context names the address).
[[nodiscard]] base::Result<std::vector<BoundSocket>> bind_tcp(const base::Endpoint& at, int copies);

} // namespace herd::net
