#include "net/interfaces.hpp"

#include "base/log.hpp"
#include "net/socket.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include <asio/posix/basic_stream_descriptor.hpp>

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace herd::net {

namespace {

constexpr base::Duration settle_time = std::chrono::milliseconds{50};
constexpr base::Duration poll_interval = std::chrono::seconds{5};

std::optional<base::IpAddress> address_of(const ::sockaddr* raw)
{
    if (raw == nullptr) {
        return std::nullopt;
    }
    if (raw->sa_family == AF_INET) {
        ::sockaddr_in in{};
        std::memcpy(&in, raw, sizeof in);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
        return base::IpAddress::v4(bytes);
    }
    if (raw->sa_family == AF_INET6) {
        ::sockaddr_in6 in{};
        std::memcpy(&in, raw, sizeof in);
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
        return base::IpAddress::v6(bytes, in.sin6_scope_id);
    }
    return std::nullopt;
}

int prefix_of(const ::sockaddr* mask)
{
    const auto address = address_of(mask);
    int bits = 0;
    if (address) {
        for (const std::uint8_t byte : address->bytes()) {
            bits += std::popcount(byte);
        }
    }
    return bits;
}

Interface described(const ::ifaddrs& entry)
{
    const unsigned flags = entry.ifa_flags;
    Interface result;
    result.name = entry.ifa_name;
    result.index = ::if_nametoindex(entry.ifa_name);
    result.up = (flags & IFF_UP) != 0;
    result.running = (flags & IFF_RUNNING) != 0;
    result.can_broadcast = (flags & IFF_BROADCAST) != 0;
    result.can_multicast = (flags & IFF_MULTICAST) != 0;
    result.loopback = (flags & IFF_LOOPBACK) != 0;
    result.point_to_point = (flags & IFF_POINTOPOINT) != 0;
    return result;
}

} // namespace

bool Interface::has_v4() const
{
    return std::ranges::any_of(addresses, [](const InterfaceAddress& a) { return a.address.is_v4(); });
}

bool Interface::has_v6() const
{
    return std::ranges::any_of(addresses, [](const InterfaceAddress& a) { return a.address.is_v6(); });
}

bool Interface::connects(const base::IpAddress& address) const
{
    if (address.is_v6() && address.is_link_local()) {
        return true;
    }
    const auto plain = address.without_scope();
    return std::ranges::any_of(addresses, [&](const InterfaceAddress& own) {
        return own.address.is_v4() == plain.is_v4() && plain.in_subnet(own.address.without_scope(), own.prefix_length);
    });
}

base::Result<std::vector<Interface>> list_interfaces()
{
    ::ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) {
        const std::error_code cause(errno, std::generic_category());
        return std::unexpected(base::Error{base::errc_of(cause), base::Source::self, base::Retry::always,
                                           "listing the network interfaces", cause});
    }
    const std::unique_ptr<::ifaddrs, decltype(&::freeifaddrs)> owner(first, &::freeifaddrs);
    std::map<std::string, Interface> by_name;
    for (const ::ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        auto [place, fresh] = by_name.try_emplace(entry->ifa_name);
        if (fresh) {
            place->second = described(*entry);
        }
        if (const auto address = address_of(entry->ifa_addr)) {
            InterfaceAddress own{*address, prefix_of(entry->ifa_netmask), std::nullopt};
            if (address->is_v4() && (entry->ifa_flags & IFF_BROADCAST) != 0) {
                own.broadcast = address_of(entry->ifa_broadaddr);
            }
            place->second.addresses.push_back(own);
        }
    }
    std::vector<Interface> result;
    for (auto& [name, interface] : by_name) {
        if (interface.index != 0) { // 0: it went away while we looked
            result.push_back(std::move(interface));
        }
    }
    std::ranges::sort(result, {}, &Interface::index);
    return result;
}

bool is_virtual_bridge(std::string_view name)
{
    constexpr std::array<std::string_view, 13> prefixes{"docker", "br-",    "veth", "virbr", "cni",  "vmnet", "vnet",
                                                        "lxcbr",  "lxdbr", "cali", "flannel", "podman", "kube-"};
    return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

struct InterfaceWatch::State : std::enable_shared_from_this<InterfaceWatch::State> {
    using Descriptor = ::asio::posix::basic_stream_descriptor<Executor>;

    State(Loop& owner, Callback callback)
        : loop(owner), on_change(std::move(callback)), socket(owner.context()), settle(owner), poll(owner)
    {
    }

    bool open()
    {
        Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
        ::sockaddr_nl here{};
        here.nl_family = AF_NETLINK;
        here.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        if (!fd.valid() || ::bind(fd.get(), reinterpret_cast<const ::sockaddr*>(&here), sizeof here) != 0) { // NOLINT
            return false;
        }
        socket.assign(fd.release());
        return true;
    }

    void wait()
    {
        socket.async_wait(Descriptor::wait_read, [self = shared_from_this()](std::error_code error) {
            if (error || self->closed) {
                return;
            }
            if (self->drain()) {
                self->changed();
            }
            self->wait();
        });
    }

    /// Reads everything; what exactly happened does not matter, the caller lists the interfaces anew.
    bool drain()
    {
        std::array<char, 16384> buffer{};
        bool any = false;
        for (;;) {
            const auto n = ::recv(socket.native_handle(), buffer.data(), buffer.size(), 0);
            if (n > 0 || (n < 0 && errno == ENOBUFS)) {
                any = true;
            } else if (n >= 0 || errno != EINTR) {
                return any;
            }
        }
    }

    void changed()
    {
        if (!settling) {
            settling = true;
            settle.call_after(settle_time, [self = shared_from_this()] {
                self->settling = false;
                if (!self->closed) {
                    self->on_change();
                }
            });
        }
    }

    void look()
    {
        poll.call_after(poll_interval, [self = shared_from_this()] {
            if (self->closed) {
                return;
            }
            auto now = list_interfaces();
            if (now && *now != self->last) {
                self->last = std::move(*now);
                self->on_change();
            }
            self->look();
        });
    }

    Loop& loop;
    Callback on_change;
    Descriptor socket;
    Timer settle;
    Timer poll;
    std::vector<Interface> last{};
    bool settling{false};
    bool closed{false};
};

InterfaceWatch::InterfaceWatch(Loop& loop, Callback on_change)
    : state_(std::make_shared<State>(loop, std::move(on_change)))
{
    if (state_->open()) {
        state_->wait();
        return;
    }
    log::warn("net", "netlink_unavailable", {{"hint", "interface changes are noticed within 5 s"}});
    if (auto now = list_interfaces()) {
        state_->last = std::move(*now);
    }
    state_->look();
}

InterfaceWatch::~InterfaceWatch()
{
    state_->closed = true;
    std::error_code ignored;
    state_->socket.close(ignored); // NOLINT(bugprone-unused-return-value)
    state_->settle.cancel();
    state_->poll.cancel();
}

} // namespace herd::net
