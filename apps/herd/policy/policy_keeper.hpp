#pragma once
// Owns what was changed at run time and what is in force. A change is checked as a whole, written to managed.json, and
// only then in force: at once for the next request of every loop; what runs keeps what it began with.
#include "herd/fleet_owner.hpp"
#include "herd/policy/policy.hpp"
#include "herd/policy/policy_change.hpp"
#include "net/blocking.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace herd::app {

/// Thread: the main loop.
class PolicyKeeper {
public:
    /// Gives it to every loop; `done` is called on the main loop once all of them have it.
    using Publish = std::function<void(const std::shared_ptr<const proxy::ProxyOptions>&, std::function<void()> done)>;

    /// Requires: `managed` and `options` compile. Tells the fleet; `publish` is called from the first change on.
    PolicyKeeper(net::Loop& loop, FleetOwner& fleet, const HerdOptions& options, Managed managed, const base::Uuid& id,
                 Publish publish);

    [[nodiscard]] const std::shared_ptr<const proxy::ProxyOptions>& proxy() const { return policy_.proxy; }
    [[nodiscard]] const std::vector<ConfiguredFrontend>& in_force() const { return policy_.frontends; }
    /// Models that are to stay loaded: those of herd.toml first, `managed` of them made at run time.
    [[nodiscard]] const std::vector<ConfiguredPin>& pins() const { return policy_.pins; }
    [[nodiscard]] std::size_t managed_pins() const { return managed_.pins.size(); }
    /// Asked for the keys of models that are pinned at a node now. Set once, before the first change.
    void ask_pinned_at(std::function<std::vector<std::string>(const fleet::NodeId&)> pinned_at) { pinned_at_ = std::move(pinned_at); }
    /// For a reload: checks without changing anything.
    [[nodiscard]] base::Result<Policy> prepare(const HerdOptions& options, const Managed& managed) const;
    /// A change is being written: no time for a reload.
    [[nodiscard]] bool busy() const { return !waiting_.empty(); }
    void adopt(const HerdOptions& options, Managed managed, Policy policy);

    /// `done` is called once, on this loop, when the change is in force (or refused).
    void change(PolicyChange change, std::function<void(PolicyAnswer)> done);
    [[nodiscard]] PolicyAnswer frontends();
    [[nodiscard]] PolicyAnswer frontend(const std::string& id_or_name);
    [[nodiscard]] PolicyAnswer node_settings(const std::string& id_or_name);
    /// An If-Match (empty: none was sent) fits the settings of that node.
    [[nodiscard]] bool node_matches(const std::string& if_match, const fleet::NodeId& id);
    /// The frontends that are switched to that node.
    [[nodiscard]] std::vector<std::string> users_of(const fleet::NodeId& id) const;
    /// The frontends whose `nodes` hold that node, by name or id.
    [[nodiscard]] std::vector<std::string> naming(const fleet::NodeId& id);

private:
    struct Waiting {
        PolicyChange change;
        std::function<void(PolicyAnswer)> done;
    };
    struct Next {
        Managed managed{};
        PolicyAnswer answer{};                    ///< when it is refused, status ≥ 400
        std::string frontend{};                   ///< to be shown afterwards; else `node`
        std::string node{};
        std::optional<ConfiguredPin> pin{};       ///< or what was pinned or unpinned
        int status{200};
    };
    void begin();
    void ended(Next next, Policy policy, const base::Result<void>& written);
    void answer_first(PolicyAnswer answer);
    [[nodiscard]] Next apply(const PolicyChange& change);
    [[nodiscard]] Next apply_to_frontend(const PolicyChange& change);
    [[nodiscard]] Next apply_use(const PolicyChange& change);
    [[nodiscard]] Next apply_to_node(const PolicyChange& change);
    [[nodiscard]] base::Result<void> take_use(const std::string& body, Next& next);
    [[nodiscard]] PolicyAnswer difference(const Next& next, const Policy& policy);
    [[nodiscard]] base::Result<std::string> node_to_use(const std::string& frontend, const std::string& node);
    [[nodiscard]] const ConfiguredFrontend* find(const Policy& policy, const std::string& id_or_name) const;
    [[nodiscard]] ManagedNode node_entry(const Policy& policy, const fleet::NodeView& node) const;
    [[nodiscard]] std::string frontend_json(const Policy& policy, const Managed& managed, const std::string& id);
    [[nodiscard]] std::string node_json(const Policy& policy, const fleet::NodeView& node) const;
    [[nodiscard]] PolicyAnswer shown(const Next& next, const Policy& policy);
    [[nodiscard]] Next add_pin(const PolicyChange& change); // policy_pins.cpp
    [[nodiscard]] Next remove_pin(const PolicyChange& change);
    [[nodiscard]] PolicyAnswer shown_pin(const Next& next) const;

    net::Loop& loop_;
    FleetOwner& fleet_;
    base::Uuid id_;
    std::string path_;
    HerdOptions options_;
    Managed managed_;
    Policy policy_;
    Publish publish_;
    std::function<std::vector<std::string>(const fleet::NodeId&)> pinned_at_ = [](const fleet::NodeId&) { return std::vector<std::string>{}; };
    std::deque<Waiting> waiting_; ///< the first one is being written
    net::Blocking files_{"herd-policy"}; // last: ends first
};

inline constexpr std::size_t managed_bytes_max = 8 * 1024 * 1024;
/// Of the state directory. Errors: bad_config, one sentence. No file: nothing was changed.
[[nodiscard]] base::Result<Managed> load_managed(const std::string& state_dir);

} // namespace herd::app
