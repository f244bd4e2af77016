#include "discovery/ollana.hpp"

#include "discovery/listener.hpp"

#include <algorithm>

namespace herd::discovery {

namespace {

constexpr base::Duration second = std::chrono::seconds{1};
constexpr base::Duration hour = std::chrono::hours{1};
constexpr std::uint16_t privileged_ports = 1024;

/// Whom an answer could reach: a neighbour, or this machine itself. (No TTL test: Ollana sends with the usual one.)
bool is_neighbour(const Arrival& arrival)
{
    const base::IpAddress& from = arrival.from.address;
    return from.is_v4() && !from.is_unspecified() && !from.is_multicast() && !from.is_limited_broadcast() && arrival.connected
        && (!from.is_loopback() || arrival.on_loopback);
}

} // namespace

std::string_view to_string(OllanaVerdict verdict)
{
    constexpr std::array<std::string_view, ollana_verdicts> names{"answered", "server", "off", "no_tls", "no_node", "bad_source", "rate"};
    return names[static_cast<std::size_t>(verdict)];
}

std::string_view ollana_hint(OllanaVerdict verdict)
{
    switch (verdict) {
    case OllanaVerdict::off: return "an Ollana client looks for a server: with TLS and [ollana] clients = true it can use this herd";
    case OllanaVerdict::no_tls: return "an Ollana client calls TCP 11435 of the address that it asked: let a listener with TLS have that port there";
    case OllanaVerdict::server: return "an Ollana server is there: [ollana] servers = true lets herd use it, once it is approved";
    case OllanaVerdict::no_node: return "an Ollana client looks for a server, and no node takes requests at the moment";
    default: return {};
    }
}

bool OllanaEar::Second::take(base::Instant now, const base::IpAddress& source)
{
    while (!passed.empty() && now - passed.front().first >= second) {
        passed.pop_front();
    }
    if (passed.size() >= answers_a_second || std::ranges::any_of(passed, [&](const auto& one) { return one.second == source; })) {
        return false;
    }
    passed.emplace_back(now, source);
    return true;
}

bool OllanaEar::speaks_tls_at(const base::IpAddress& address) const
{
    return std::ranges::any_of(rules_.secure, [&](const base::Endpoint& at) {
        return at.port == ollana_tcp_port && at.address.is_v4() && (at.address.is_unspecified() || at.address == address);
    });
}

OllanaVerdict OllanaEar::judge(base::Instant now, const Arrival& arrival)
{
    using enum OllanaVerdict;
    if (!is_neighbour(arrival)) {
        return bad_source;
    }
    if (arrival.from.port == ollana_udp_port) { // an answer, or a trap: never answered
        return servers_.take(now, arrival.from.address) ? server : too_many;
    }
    if (arrival.from.port < privileged_ports) {
        return bad_source;
    }
    if (!rules_.answers) {
        return off;
    }
    if (!rules_.from_known_port || !arrival.local.is_v4() || arrival.local.is_unspecified() || !speaks_tls_at(arrival.local)) {
        return no_tls;
    }
    if (!rules_.routable) {
        return no_node;
    }
    return answered_.take(now, arrival.from.address) ? answer : too_many;
}

/// The table is full only when so many clients were told within the hour; then nobody else is.
bool OllanaEar::tell(base::Instant now, const base::IpAddress& client)
{
    const auto known = told_.find(client);
    if (known != told_.end() && now - known->second < hour) {
        return false;
    }
    if (known == told_.end() && told_.size() >= clients_told_max) {
        std::erase_if(told_, [now](const auto& one) { return now - one.second >= hour; });
        if (told_.size() >= clients_told_max) {
            return false;
        }
    }
    told_[client] = now;
    return true;
}

OllanaEar::Heard OllanaEar::hear(base::Instant now, const Arrival& arrival)
{
    const OllanaVerdict verdict = judge(now, arrival);
    ++counts_[static_cast<std::size_t>(verdict)];
    const bool worth = verdict == OllanaVerdict::server ? !rules_.uses_servers : !ollana_hint(verdict).empty();
    return {verdict, worth && tell(now, arrival.from.address)};
}

base::Instant OllanaEar::expected_until() const
{
    return answered_.passed.empty() ? base::Instant{} : answered_.passed.back().first + second;
}

void OllanaEar::each(const std::function<void(std::string_view result, std::uint64_t count)>& visit) const
{
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        if (counts_[i] != 0) {
            visit(to_string(static_cast<OllanaVerdict>(i)), counts_[i]);
        }
    }
}

} // namespace herd::discovery
