#pragma once
// Addresses as plain values, so that pure code can reason about them without a socket header.
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace herd::base {

/// An IPv4 or IPv6 address; link-local IPv6 keeps its scope (interface index) all the way to connect().
class IpAddress {
public:
    IpAddress() = default; ///< 0.0.0.0
    [[nodiscard]] static IpAddress v4(std::array<std::uint8_t, 4> bytes);
    [[nodiscard]] static IpAddress v6(std::array<std::uint8_t, 16> bytes, std::uint32_t scope = 0);
    /// "10.0.0.7", "::1", "fe80::1%3". IPv4-mapped IPv6 becomes IPv4. No names.
    [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
    [[nodiscard]] static IpAddress loopback() { return v4({127, 0, 0, 1}); }

    [[nodiscard]] bool is_v4() const { return !v6_; }
    [[nodiscard]] bool is_v6() const { return v6_; }
    /// 4 significant bytes for v4 (the rest zero), 16 for v6.
    [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
    [[nodiscard]] std::uint32_t scope() const { return scope_; }
    [[nodiscard]] IpAddress without_scope() const;

    [[nodiscard]] bool is_unspecified() const;
    [[nodiscard]] bool is_loopback() const;
    [[nodiscard]] bool is_multicast() const;
    [[nodiscard]] bool is_limited_broadcast() const; ///< 255.255.255.255
    [[nodiscard]] bool is_link_local() const;
    /// RFC 1918, CGNAT, link-local, unique-local or loopback: an address of somebody's own network.
    [[nodiscard]] bool is_private() const;
    [[nodiscard]] bool in_subnet(const IpAddress& network, int prefix_length) const;

    [[nodiscard]] std::string text() const;
    auto operator<=>(const IpAddress&) const = default;

private:
    std::array<std::uint8_t, 16> bytes_{};
    std::uint32_t scope_{0};
    bool v6_{false};
};

/// "10.0.0.0/8", "fd00::/8"; an address alone is that one.
struct IpNetwork {
    IpAddress address{};
    int prefix_length{0};

    /// Nothing: no such address, or a length that it cannot have.
    [[nodiscard]] static std::optional<IpNetwork> parse(std::string_view text);
    [[nodiscard]] bool contains(const IpAddress& other) const { return other.without_scope().in_subnet(address, prefix_length); }
    [[nodiscard]] std::string text() const;
    bool operator==(const IpNetwork&) const = default;
};

/// Where a socket is. Port 0 means "any" for a listener.
struct Endpoint {
    IpAddress address{};
    std::uint16_t port{0};

    [[nodiscard]] std::string text() const; ///< "10.0.0.7:11436", "[fe80::1%3]:11436"
    auto operator<=>(const Endpoint&) const = default;
    /// Numeric host and port only.
    [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text);
};

/// "host[:port]" with a name or an address, brackets for IPv6; false on an empty host or a bad port.
struct HostPort {
    std::string host{};
    std::uint16_t port{0};
    [[nodiscard]] static std::optional<HostPort> parse(std::string_view text, std::uint16_t default_port);
    auto operator<=>(const HostPort&) const = default;
};

} // namespace herd::base

template <>
struct std::hash<herd::base::IpAddress> {
    std::size_t operator()(const herd::base::IpAddress& address) const noexcept;
};
template <>
struct std::hash<herd::base::Endpoint> {
    std::size_t operator()(const herd::base::Endpoint& endpoint) const noexcept;
};
