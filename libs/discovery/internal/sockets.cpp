#include "discovery/internal/sockets.hpp"

#include "base/log.hpp"

#include <algorithm>

namespace herd::discovery::internal {

using namespace std::chrono_literals;

namespace {

constexpr base::Duration pulse_interval = 1s;
constexpr base::Duration pulse_late = 3s;  ///< later than this: we were stopped
constexpr base::Duration sleep_step = 1s;
constexpr std::size_t followed_limit = 64; ///< sockets that follow interfaces

const base::IpAddress local_broadcast = base::IpAddress::v4({127, 255, 255, 255});
const base::IpAddress limited_broadcast = base::IpAddress::v4({255, 255, 255, 255});

/// CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC does not.
base::Duration time_asleep()
{
    const auto read = [](clockid_t id) {
        ::timespec t{};
        ::clock_gettime(id, &t);
        return base::Duration{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
    };
    return read(CLOCK_BOOTTIME) - read(CLOCK_MONOTONIC);
}

} // namespace

base::IpAddress lana_group()
{
    return base::IpAddress::v6({0xFF, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x4C, 0x41, 0x4E, 0x41});
}

Sockets::Sockets(net::Loop& loop, DiscoverySockets bound, SocketHandlers handlers)
    : loop_(loop), bound_(std::move(bound)), handlers_(std::move(handlers)), pulse_timer_(loop)
{
}

void Sockets::start()
{
    started_ = true;
    for (net::BoundSocket& socket : bound_.unicast) {
        open(std::move(socket), true);
    }
    for (net::BoundSocket& socket : bound_.extra) {
        open(std::move(socket), false);
    }
    follow_interfaces();
    watch_ = std::make_unique<net::InterfaceWatch>(loop_, [this] {
        const auto before = paths_;
        follow_interfaces();
        if (paths_ == before || closed_) {
            return;
        }
        const bool lost = std::ranges::any_of(before, [&](const Path& old) {
            return std::ranges::find(paths_, old.index, &Path::index) == paths_.end();
        });
        handlers_.link_changed(lost);
    });
    asleep_ = time_asleep();
    pulsed_at_ = loop_.now();
    arm_pulse();
}

void Sockets::close()
{
    closed_ = true;
    watch_.reset();
    pulse_timer_.cancel();
    for (auto* socket : {v4_.get(), v6_.get()}) {
        if (socket != nullptr) {
            socket->close();
        }
    }
    for (auto& socket : ears_) {
        socket->close();
    }
    for (auto& [at, socket] : directed_) {
        socket->close();
    }
    for (auto& [index, socket] : groups_) {
        socket->close();
    }
}

void Sockets::open(net::BoundSocket socket, bool sends)
{
    const bool v6 = socket.local.address.is_v6();
    auto opened = std::make_unique<net::DatagramSocket>(
        loop_, std::move(socket),
        [this](const net::Received& received) {
            if (!closed_) {
                Arrival arrival = describe(interfaces_, received.from, received.to, received.interface, received.ttl);
                arrival.local = received.local;
                handlers_.datagram(arrival, received.bytes);
            }
        },
        [this](const base::Endpoint& at) {
            if (!closed_) {
                handlers_.unreachable(at);
            }
        });
    if (!sends) {
        ears_.push_back(std::move(opened));
    } else if (v6) {
        v6_ = std::move(opened);
    } else {
        v4_ = std::move(opened);
    }
}

// ---------------------------------------------------------------------------------------------- sending

void Sockets::send(const Send& send)
{
    if (closed_ || !started_) {
        return;
    }
    if (send.everywhere && bound_.port != 0) {
        send_everywhere(*send.bytes);
    }
    for (const base::Endpoint& to : send.to) {
        if (!bound_.loopback_only || to.address.is_loopback()) {
            (void)send_to(to, *send.bytes, send.interface, send.from);
        }
    }
}

/// This machine first: where herd and node share a host, loopback is the path that always works, and the
/// first copy heard decides which address is remembered.
void Sockets::send_everywhere(ByteView bytes)
{
    send_local(bytes);
    if (!bound_.loopback_only) {
        for (const Path& path : paths_) {
            send_on(path, bytes);
        }
    }
}

void Sockets::send_local(ByteView bytes)
{
    if (!v4_) {
        return;
    }
    // The broadcast reaches every program on this host that listens; unicast only the last that bound. A herd
    // need not unicast: nodes listen on broadcast addresses.
    (void)v4_->send({local_broadcast, bound_.port}, bytes);
    if (bound_.options.role == Role::node) {
        (void)v4_->send({base::IpAddress::loopback(), bound_.port}, bytes);
    }
}

void Sockets::send_on(const Path& path, ByteView bytes)
{
    if (path.v4 && v4_) {
        auto sent = v4_->send({limited_broadcast, bound_.port}, bytes, path.index);
        for (const base::IpAddress& directed : path.directed) {
            if (sent) {
                break;
            }
            sent = v4_->send({directed, bound_.port}, bytes, path.index);
        }
        if (!sent) {
            blocked_[path.name] = sent.error().message();
            complain(path.name, sent.error());
        } else if (!blocked_.empty()) {
            blocked_.erase(path.name);
        }
    }
    if (path.v6 && v6_) {
        // Quietly: an interface whose IPv6 address is still tentative cannot send yet, and IPv4 carries on.
        (void)v6_->send({lana_group(), bound_.port}, bytes, path.index);
    }
}

bool Sockets::send_to(const base::Endpoint& to, ByteView bytes, unsigned interface, const base::IpAddress& from)
{
    auto* socket = to.address.is_v4() ? v4_.get() : v6_.get();
    if (socket == nullptr) {
        return false;
    }
    const auto sent = socket->send(to, bytes, interface, from);
    if (!sent) {
        complain(to.address.text(), sent.error());
    }
    return sent.has_value();
}

void Sockets::complain(const std::string& where, const base::Error& error)
{
    if (complained_.size() < 256 && complained_.insert(where).second) {
        const bool denied = error.cause == std::errc::permission_denied || error.cause == std::errc::operation_not_permitted;
        log::warn("discovery", "send_failed",
                  {{"to", where},
                   {"why", error.message()},
                   {"hint", denied ? "a firewall rule refuses our UDP" : "told once; check the address and the interface"}});
    }
}

// ------------------------------------------------------------------------------------------- interfaces

void Sockets::follow_interfaces()
{
    auto listed = net::list_interfaces();
    if (!listed) {
        log::warn("discovery", "interfaces_unknown", {{"why", listed.error().message()}});
        return;
    }
    interfaces_ = std::move(*listed);
    auto paths = bound_.loopback_only ? std::vector<Path>{} : choose_paths(interfaces_, bound_.options);
    if (paths != paths_ || paths.empty()) {
        std::string names = bound_.loopback_only ? "lo" : "";
        for (const Path& path : paths) {
            names += (names.empty() ? "" : ",") + path.name;
        }
        log::info("discovery", "interfaces_chosen", {{"names", names.empty() ? "none" : names}});
        if (names.empty()) {
            log::warn("discovery", "no_interface",
                      {{"hint", "only this host is reached; choose one with --interface, or name herds with --herd"}});
        }
    }
    paths_ = std::move(paths);
    complained_.clear();
    blocked_.clear(); // the next broadcast tells
    follow_groups();
    if (bound_.options.role == Role::node && bound_.listens) {
        follow_directed();
    }
}

/// A node hears directed broadcasts too, for senders that had to fall back to them.
void Sockets::follow_directed()
{
    std::set<base::Endpoint> wanted;
    for (const Path& path : paths_) {
        for (const base::IpAddress& address : path.directed) {
            wanted.insert({address, bound_.port});
        }
    }
    std::erase_if(directed_, [&](const auto& entry) { return !wanted.contains(entry.first); });
    for (const base::Endpoint& at : wanted) {
        if (directed_.contains(at) || directed_.size() >= followed_limit) {
            continue;
        }
        auto socket = net::bind_udp(at, {.reuse_address = true});
        if (socket) {
            open(std::move(*socket), false);
            directed_[at] = std::move(ears_.back());
            ears_.pop_back();
        }
    }
}

/// Herd: its wildcard socket joins on each interface. Node: one socket per interface, bound to the group, so
/// that it takes no unicast from a herd on the same host.
void Sockets::follow_groups()
{
    std::set<unsigned> wanted;
    for (const Path& path : paths_) {
        if (path.v6 && wanted.size() < followed_limit) {
            wanted.insert(path.index);
        }
    }
    const auto unwanted = [&](unsigned index) { return !wanted.contains(index); };
    if (bound_.options.role == Role::herd) {
        if (!v6_) {
            return;
        }
        for (const unsigned index : joined_) {
            if (unwanted(index)) {
                v6_->leave(lana_group(), index);
            }
        }
        std::erase_if(joined_, unwanted);
        for (const unsigned index : wanted) {
            if (!joined_.contains(index) && v6_->join(lana_group(), index)) {
                joined_.insert(index);
            }
        }
        return;
    }
    std::erase_if(groups_, [&](const auto& entry) { return unwanted(entry.first); });
    for (const unsigned index : wanted) {
        if (groups_.contains(index) || !bound_.listens || bound_.port == 0) {
            continue;
        }
        auto socket = net::bind_udp({base::IpAddress::v6(lana_group().bytes(), index), bound_.port},
                                    {.reuse_address = true});
        if (!socket) {
            continue;
        }
        open(std::move(*socket), false);
        if (ears_.back()->join(lana_group(), index)) {
            groups_[index] = std::move(ears_.back());
        }
        ears_.pop_back();
    }
}

Arrival Sockets::describe_peer(const base::Endpoint& peer) const
{
    return describe(interfaces_, peer, {}, 0, -1);
}

// ------------------------------------------------------------------------------------------------- sleep

void Sockets::arm_pulse()
{
    pulse_timer_.call_after(pulse_interval, [this] { pulse(); });
}

void Sockets::pulse()
{
    if (closed_) {
        return;
    }
    const auto now = loop_.now();
    const auto asleep = time_asleep();
    const bool slept = asleep - asleep_ > sleep_step || now - pulsed_at_ > pulse_late;
    asleep_ = asleep;
    pulsed_at_ = now;
    arm_pulse();
    if (slept) {
        log::info("discovery", "resumed", {{"hint", "the machine slept or the process was stopped"}});
        handlers_.resumed();
    }
}

} // namespace herd::discovery::internal
