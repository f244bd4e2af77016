#include "proxy/host_policy.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"
#include "net/interfaces.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

/// Asked about public addresses only, so hardly ever.
bool is_own(const base::IpAddress& address)
{
    const auto interfaces = net::list_interfaces();
    return interfaces && std::ranges::any_of(*interfaces, [&](const net::Interface& interface) {
        return std::ranges::find(interface.addresses, address, &net::InterfaceAddress::address)
               != interface.addresses.end();
    });
}

bool is_near(const base::IpAddress& address)
{
    return address.is_loopback() || address.is_private() || address.is_unspecified();
}

} // namespace

HostPolicy::HostPolicy(std::string_view own_name, const std::vector<std::string>& extra)
    : checks_(std::ranges::find(extra, "*") == extra.end()), names_{base::lower(own_name)}
{
    for (const std::string& name : extra) {
        if (name.starts_with("*.")) {
            suffixes_.push_back(base::lower(name.substr(1)));
        } else {
            names_.push_back(base::lower(name));
        }
    }
}

bool HostPolicy::knows(std::string_view name) const
{
    constexpr std::array<std::string_view, 3> endings{".localhost", ".local", ".internal"};
    return name == "localhost" || std::ranges::find(names_, name) != names_.end()
           || std::ranges::any_of(endings, [name](std::string_view ending) { return name.ends_with(ending); })
           || std::ranges::any_of(suffixes_, [name](const std::string& ending) { return name.ends_with(ending); });
}

HostPolicy::Verdict HostPolicy::judge(const http::RequestHead& head) const
{
    const auto field = head.fields.find("Host").value_or("");
    if (!checks_ || field.empty() || field == passed_) {
        return Verdict::pass;
    }
    const auto host = base::HostPort::parse(field, 80);
    const auto address = host ? base::IpAddress::parse(host->host) : std::nullopt;
    if (address && is_near(*address)) {
        passed_ = field; // whatever the interfaces are
        return Verdict::pass;
    }
    if (address && is_own(*address)) {
        return Verdict::pass;
    }
    if (!host || address || !knows(base::lower(host->host))) {
        return Verdict::refused;
    }
    return head.method == "OPTIONS" && !head.fields.find("Origin") ? Verdict::options : Verdict::pass;
}

} // namespace herd::proxy
