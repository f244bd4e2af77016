#include "base/ip.hpp"

#include "base/text.hpp"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>

namespace herd::base {

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> bytes)
{
    IpAddress address;
    std::ranges::copy(bytes, address.bytes_.begin());
    return address;
}

IpAddress IpAddress::v6(std::array<std::uint8_t, 16> bytes, std::uint32_t scope)
{
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (std::equal(mapped.begin(), mapped.end(), bytes.begin())) {
        return v4({bytes[12], bytes[13], bytes[14], bytes[15]});
    }
    IpAddress address;
    address.bytes_ = bytes;
    address.v6_ = true;
    address.scope_ = scope;
    return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    std::string host{text};
    std::uint32_t scope = 0;
    if (const auto percent = host.find('%'); percent != std::string::npos) {
        const std::string zone = host.substr(percent + 1);
        host.resize(percent);
        if (const auto number = parse_unsigned(zone); number && *number <= 0xFFFFFFFFULL) {
            scope = static_cast<std::uint32_t>(*number);
        } else {
            scope = ::if_nametoindex(zone.c_str());
        }
        if (scope == 0) {
            return std::nullopt;
        }
    }
    std::array<std::uint8_t, 4> four{};
    if (scope == 0 && ::inet_pton(AF_INET, host.c_str(), four.data()) == 1) {
        return v4(four);
    }
    std::array<std::uint8_t, 16> sixteen{};
    if (::inet_pton(AF_INET6, host.c_str(), sixteen.data()) == 1) {
        return v6(sixteen, scope);
    }
    return std::nullopt;
}

IpAddress IpAddress::without_scope() const
{
    IpAddress copy = *this;
    copy.scope_ = 0;
    return copy;
}

bool IpAddress::is_unspecified() const
{
    return std::ranges::all_of(bytes_, [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_loopback() const
{
    if (!v6_) {
        return bytes_[0] == 127;
    }
    return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.begin() + 15, [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_multicast() const { return v6_ ? bytes_[0] == 0xFF : (bytes_[0] & 0xF0) == 0xE0; }

bool IpAddress::is_limited_broadcast() const
{
    return !v6_ && std::all_of(bytes_.begin(), bytes_.begin() + 4, [](std::uint8_t b) { return b == 255; });
}

bool IpAddress::is_link_local() const
{
    return v6_ ? bytes_[0] == 0xFE && (bytes_[1] & 0xC0) == 0x80 : bytes_[0] == 169 && bytes_[1] == 254;
}

bool IpAddress::is_private() const
{
    if (is_loopback() || is_link_local()) {
        return true;
    }
    if (v6_) {
        return (bytes_[0] & 0xFE) == 0xFC;
    }
    return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xF0) == 16) || (bytes_[0] == 192 && bytes_[1] == 168)
        || (bytes_[0] == 100 && (bytes_[1] & 0xC0) == 64);
}

bool IpAddress::in_subnet(const IpAddress& network, int prefix_length) const
{
    if (v6_ != network.v6_) {
        return false;
    }
    int bits = std::clamp(prefix_length, 0, v6_ ? 128 : 32);
    for (std::size_t i = 0; bits > 0; ++i, bits -= 8) {
        const auto mask = static_cast<std::uint8_t>(bits >= 8 ? 0xFF : 0xFF << (8 - bits));
        if ((bytes_[i] & mask) != (network.bytes_[i] & mask)) {
            return false;
        }
    }
    return true;
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text)
{
    const auto slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address || address->scope() != 0) {
        return std::nullopt;
    }
    const int most = address->is_v4() ? 32 : 128;
    const auto length = slash == text.npos ? std::optional<std::uint64_t>(static_cast<std::uint64_t>(most)) : parse_unsigned(text.substr(slash + 1));
    if (!length || *length > static_cast<std::uint64_t>(most)) {
        return std::nullopt;
    }
    return IpNetwork{*address, static_cast<int>(*length)};
}

std::string IpNetwork::text() const
{
    return prefix_length == (address.is_v4() ? 32 : 128) ? address.text() : address.text() + "/" + std::to_string(prefix_length);
}

std::string IpAddress::text() const
{
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (!v6_) { // written for every request, and inet_ntop goes through printf
        char* out = buffer.data();
        for (std::size_t i = 0; i < 4; ++i) {
            if (i > 0) {
                *out++ = '.';
            }
            out = std::to_chars(out, buffer.data() + buffer.size(), static_cast<unsigned>(bytes_[i])).ptr;
        }
        return std::string(buffer.data(), out);
    }
    ::inet_ntop(AF_INET6, bytes_.data(), buffer.data(), buffer.size());
    std::string result{buffer.data()};
    if (scope_ != 0) {
        result += '%' + std::to_string(scope_);
    }
    return result;
}

std::string Endpoint::text() const
{
    const std::string host = address.text();
    return (address.is_v6() ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text)
{
    const auto parts = HostPort::parse(text, 0);
    if (!parts) {
        return std::nullopt;
    }
    const auto address = IpAddress::parse(parts->host);
    if (!address) {
        return std::nullopt;
    }
    return Endpoint{*address, parts->port};
}

std::optional<HostPort> HostPort::parse(std::string_view text, std::uint16_t default_port)
{
    HostPort result{.host = {}, .port = default_port};
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        result.host = text.substr(1, end - 1);
        text.remove_prefix(end + 1);
        if (!text.empty() && text.front() != ':') {
            return std::nullopt;
        }
        has_port = !text.empty();
        port = has_port ? text.substr(1) : text;
    } else if (std::ranges::count(text, ':') > 1) {
        result.host = text; // a bare IPv6 address
    } else {
        const auto colon = std::min(text.find(':'), text.size());
        result.host = text.substr(0, colon);
        has_port = colon < text.size();
        port = has_port ? text.substr(colon + 1) : std::string_view{};
    }
    if (has_port) {
        const auto number = parse_unsigned(port);
        if (!number || *number > 65535) {
            return std::nullopt;
        }
        result.port = static_cast<std::uint16_t>(*number);
    }
    if (result.host.empty()) {
        return std::nullopt;
    }
    return result;
}

} // namespace herd::base

std::size_t std::hash<herd::base::IpAddress>::operator()(const herd::base::IpAddress& address) const noexcept
{
    std::size_t value = 0xCBF29CE484222325ULL ^ address.scope();
    for (const std::uint8_t byte : address.bytes()) {
        value = (value ^ byte) * 0x100000001B3ULL;
    }
    return value;
}

std::size_t std::hash<herd::base::Endpoint>::operator()(const herd::base::Endpoint& endpoint) const noexcept
{
    return std::hash<herd::base::IpAddress>{}(endpoint.address) * 31 + endpoint.port;
}
