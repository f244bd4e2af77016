// The configuration read again while herd runs: everything is checked before anything changes.
#include "base/log.hpp"
#include "herd/configured_nodes.hpp"
#include "herd/fleet_keys.hpp"
#include "herd/herd_app.hpp"
#include "herd/on_loop.hpp"
#include "herd/tls.hpp"

namespace herd::app {

net::Task<base::Result<std::vector<std::string>>> HerdApp::reload_from(net::Loop& asker)
{
    auto work = [this]() -> base::Result<std::vector<std::string>> {
        if (const auto applied = reload(); !applied) {
            return std::unexpected(applied.error());
        }
        return needs_restart_;
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

void HerdApp::request_reload()
{
    if (const auto applied = reload(); !applied) {
        log::error("app", "reload_refused", {{"why", applied.error().context}});
    }
}

base::Result<void> HerdApp::reload()
{
    auto fresh = reload_(options_);
    return fresh ? apply_options(std::move(*fresh)) : base::Result<void>{std::unexpected(fresh.error())};
}

base::Result<void> HerdApp::apply_options(ServeOptions serve)
{
    const HerdOptions& fresh = serve.options;
    auto nodes = configured_nodes(fresh, scout_->surroundings()); // everything is checked before anything changes
    if (!nodes) {
        return std::unexpected(nodes.error());
    }
    auto keys = load_fleet_keys(fresh);
    if (!keys) {
        return std::unexpected(keys.error());
    }
    const auto tls = listener_tls(fresh);
    if (!tls) {
        return std::unexpected(tls.error());
    }
    net::forget_certificate_authorities();
    if (policy_->busy()) {
        return base::fail(base::Errc::conflict, "a change is being written to managed.json; reload again");
    }
    auto policy = policy_->prepare(fresh, serve.managed);
    if (!policy) {
        return std::unexpected(policy.error());
    }
    needs_restart_ = std::move(serve.needs_restart);
    for (const std::string& key : needs_restart_) {
        log::warn("app", "reload_needs_restart", {{"key", key}});
    }
    scout_->replace_configured(std::move(*nodes));
    fleet_->set_options(fleet_options(fresh));
    ledger_->set_limits({fresh.store.retention, fresh.store.max_size});
    apply_join_rules(fresh, std::move(*keys));
    options_ = fresh;
    policy_->adopt(fresh, std::move(serve.managed), std::move(*policy));
    sync_->require(requirements(options_, policy_->in_force()));
    for (const auto& relay : relays_) {
        relay->loop().dispatch([&unit = *relay, tls = *tls, only = fresh.tls.only] { unit.set_tls(tls, only); });
    }
    apply_ollana(fresh);
    keys_->set_rules(key_rules(fresh), [this](const keys::Published& published) {
        for (const auto& relay : relays_) {
            relay->loop().dispatch([&unit = *relay, published] { unit.set_access(published); });
        }
    });
    log::set_level(fresh.log.level);
    log::reopen();
    shown_ = std::move(serve.effective_json);
    log::info("app", "configuration_reloaded", {{"file", options_.config_file}});
    return {};
}

void HerdApp::use_ollana_servers()
{
    devices::ServerHooks hooks;
    hooks.show = [this](StaticNode node) { return scout_->show_ollana(std::move(node)); };
    hooks.hide = [this](const fleet::NodeId& id) { scout_->remove_static(id); };
    hooks.around = [this] { return scout_->surroundings(); };
    devices_->use_servers(*network_, std::move(hooks));
}

/// Ollana's clients: what the door and discovery go by. The relay loops get it with the keys.
void HerdApp::apply_ollana(const HerdOptions& fresh)
{
    devices_->set_options(device_options(fresh));
    if (!beacon_) {
        return;
    }
    discovery::OllanaEar& ear = beacon_->herd().ollana();
    discovery::OllanaRules rules{.answers = fresh.ollana.clients, .from_known_port = ollana_port_, .uses_servers = fresh.ollana.servers, .routable = ear.rules().routable};
    if (fresh.tls.enabled()) {
        rules.secure = listening_;
    }
    ear.set_rules(std::move(rules));
}

/// Who may join from now on. Whoever is in by rules that no longer hold must show himself again.
void HerdApp::apply_join_rules(const HerdOptions& fresh, discovery::Authenticator keys)
{
    const discovery::Authenticator& before = proofs_->authenticator();
    const JoinMode join = fresh.discovery.join;
    const bool stricter = keys.mode() == discovery::AuthMode::require
        && (before.mode() != discovery::AuthMode::require || !before.is_part_of(keys));
    const bool other = join != options_.discovery.join || !before.is_part_of(keys) || !keys.is_part_of(before) || keys.primary() != before.primary();
    if (beacon_) {
        beacon_->herd().set_authenticator(keys);
        beacon_->herd().set_allow_nat(fresh.discovery.allow_nat);
    }
    const bool keyed = keys.primary() != 0;
    const base::Instant now = main_loop().now();
    proofs_->set_authenticator(now, std::move(keys));
    if (other) {
        log::info("discovery", "join_rules_changed",
                  {{"join", join == JoinMode::key ? "key" : join == JoinMode::approve ? "approve" : "open"},
                   {"keys", proofs_->authenticator().key_ids().size()},
                   {"key_in_use", proofs_->authenticator().primary()}});
        fleet_->apply(fleet::JoinChanged{join == JoinMode::approve, keyed, stricter});
    }
}

} // namespace herd::app
