#include "herd/admin/gate.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace herd::app::admin {

namespace {

/// A name that only this machine, or nobody's DNS, resolves to us: what a rebound web page cannot have.
bool local_host_name(const std::string& name)
{
    return base::IpAddress::parse(name).has_value() || name == "localhost" || name.ends_with(".localhost");
}

/// The same for a herd that other machines may change: names that no public DNS has.
bool lan_host_name(const std::string& name, const std::vector<std::string>& extra)
{
    constexpr std::array<std::string_view, 5> endings{".local", ".lan", ".internal", ".home.arpa", ".home"};
    return name.find('.') == std::string::npos || std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); })
        || std::ranges::any_of(extra, [&](const std::string& one) { return one == "*" || base::iequals(one, name); });
}

bool keys_route(std::string_view path) { return path == "/herd/v1/keys" || path.starts_with("/herd/v1/keys/"); }

/// Also one that has expired: what it protected does not open because nobody made a new one in time.
bool has_made_admin(const proxy::Access& access)
{
    return std::ranges::any_of(access.rules().keys, [](const proxy::KeyPtr& key) { return key->admin && !key->revoked; });
}

proxy::Problem no_admin(std::string message) { return {403, "not_allowed", std::move(message)}; }

} // namespace

std::string write_refusal(const http::RequestHead& head, const base::Endpoint& peer, const GateRules& rules)
{
    if (!peer.address.is_loopback() && !rules.admin_anywhere) {
        return "changes are accepted from the machine herd runs on; run this command there, or use a key with admin scope";
    }
    for (const std::string_view field : {"X-Forwarded-For", "Forwarded", "X-Real-IP"}) {
        if (head.fields.find(field)) { // the one who asks is not on this machine: a proxy is
            return "changes through a proxy need a key with admin scope";
        }
    }
    if (!proxy::from_own_page(head)) {
        return "changes are not accepted from other web pages";
    }
    const auto host = base::HostPort::parse(head.fields.find("Host").value_or("localhost"), 0);
    const std::string name = host ? base::lower(host->host) : std::string{};
    const bool known = host && (local_host_name(name) || (rules.admin_anywhere && lan_host_name(name, rules.hosts)));
    if (!known) {
        return "changes are accepted under this machine's address or localhost only";
    }
    return {};
}

Verdict judge(const http::RequestHead& head, const base::Endpoint& peer, const proxy::Access* access, const GateRules& rules,
              base::Instant now, base::WallTime wall)
{
    const OwnRoute route = own_route(head.method, head.path());
    Verdict verdict;
    if (route.scope == Scope::open || route.scope == Scope::node) {
        return verdict;
    }
    const bool has_admin = access != nullptr && access->has_admin(wall);
    const bool keys_on = access != nullptr && (access->require_key() || has_made_admin(*access));
    if (!keys_on) {
        if (route.changes) {
            if (auto why = write_refusal(head, peer, rules); !why.empty()) {
                verdict.refused = no_admin(std::move(why));
            }
        }
        return verdict;
    }
    proxy::Shown shown = access->look(head, wall);
    const bool for_users = route.scope == Scope::user || route.scope == Scope::fleet;
    if (shown.what == proxy::Shown::What::good && route.scope == Scope::fleet && !shown.key->models.empty()) {
        verdict.refused = no_admin("this key is for certain models only and may not see the whole fleet");
        return verdict;
    }
    if (shown.what == proxy::Shown::What::good && !shown.key->frontends.empty() && head.path().starts_with("/fleet/")) {
        verdict.refused = no_admin("this key is for certain frontends only and may not see the whole fleet");
        return verdict;
    }
    if (shown.what == proxy::Shown::What::good && (for_users || shown.key->admin)) {
        shown.key->use->last_used.store(wall.time_since_epoch().count(), std::memory_order_relaxed);
        verdict.key = std::move(shown.key);
        verdict.by_cookie = shown.by_cookie;
        return verdict;
    }
    const bool nothing = shown.what == proxy::Shown::What::nothing;
    if (for_users && !access->require_key() && shown.what != proxy::Shown::What::ambiguous) {
        return verdict; // as open as what is relayed
    }
    if (!has_admin && keys_route(head.path()) && write_refusal(head, {peer.address, peer.port}, {}).empty()) {
        return verdict; // the first admin key, or a new one when the last has expired
    }
    if (shown.what == proxy::Shown::What::good) {
        verdict.refused = no_admin("this key has no admin scope");
        return verdict;
    }
    verdict.refused = access->refusal(shown, peer.address, now);
    if (nothing && route.scope == Scope::admin) {
        verdict.refused->message = has_admin ? "a key with admin scope is needed"
                                             : "a key with admin scope is needed; make one with `herd key add NAME --admin` on the machine herd runs on";
    }
    return verdict;
}

} // namespace herd::app::admin
