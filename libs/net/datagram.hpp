#pragma once
// UDP as discovery needs it: which interface a datagram came in on and with which TTL, one copy out of a
// chosen interface, the ICMP answer to a datagram of ours, and how many the kernel had to drop. Sockets are
// bound before the program forks (bind_udp) and read on a loop afterwards (DatagramSocket).
#include "base/error.hpp"
#include "base/ip.hpp"
#include "net/loop.hpp"
#include "net/socket.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace herd::net {

struct UdpOptions {
    bool broadcast{true};           ///< may send to broadcast addresses
    bool reuse_address{false};      ///< share the port (SO_REUSEADDR; never SO_REUSEPORT: that splits unicast)
    int ttl{255};                   ///< TTL and hop limit, multicast included
    int receive_buffer_bytes{0};    ///< 0: the system's default
};

/// Binds a UDP socket: IPv6 sockets are IPv6 only, and groups that others joined are not heard.
/// Errors: in_use, io (context names the address).
[[nodiscard]] base::Result<BoundSocket> bind_udp(const base::Endpoint& at, const UdpOptions& options);

struct Received {
    base::Endpoint from{};
    base::IpAddress to{};      ///< destination address of the datagram
    base::IpAddress local{};   ///< IPv4: our own address that an answer should come from, as the kernel says
    unsigned interface{0};     ///< index of the interface it came in on
    int ttl{-1};               ///< -1: not known
    bool truncated{false};     ///< longer than our buffer; `bytes` is its beginning
    std::span<const std::uint8_t> bytes{}; ///< valid during the call only
};

/// Thread: its loop's.
class DatagramSocket {
public:
    using OnReceive = std::move_only_function<void(const Received&)>;
    using OnUnreachable = std::move_only_function<void(const base::Endpoint&)>;

    /// Starts reading at once; the callbacks may close the socket or destroy it.
    DatagramSocket(Loop& loop, BoundSocket socket, OnReceive on_receive, OnUnreachable on_unreachable = {});
    DatagramSocket(const DatagramSocket&) = delete;
    DatagramSocket& operator=(const DatagramSocket&) = delete;
    ~DatagramSocket();

    /// Sends now or not at all (a full buffer loses the datagram, as the network might).
    /// `interface` 0: the routing table decides. `from`: our IPv4 address that it shall come from; unspecified: any.
    /// Errors: unreachable, refused, io (context names the target).
    [[nodiscard]] base::Result<void> send(const base::Endpoint& to, std::span<const std::uint8_t> bytes,
                                          unsigned interface = 0, const base::IpAddress& from = {});
    /// Joins or leaves an IPv6 group on one interface. True when it took effect, or was so already.
    bool join(const base::IpAddress& group, unsigned interface);
    void leave(const base::IpAddress& group, unsigned interface);
    void close() noexcept;

    [[nodiscard]] const base::Endpoint& local() const;
    /// Datagrams the kernel dropped because our buffer was full (SO_RXQ_OVFL).
    [[nodiscard]] std::uint64_t overflowed() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace herd::net
