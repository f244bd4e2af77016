#pragma once
// The fleet's errands over the network: confirm a node at its source address, hold a canary connection to
// its agent, knock at a silent one, poll the plain Ollamas that a human named. Each errand ends in an event.
#include "discovery/inquiry.hpp"
#include "herd/fleet_owner.hpp"
#include "herd/static_nodes.hpp"
#include "http/fetch.hpp"
#include "net/task_group.hpp"

#include <functional>
#include <map>
#include <memory>

namespace herd::app {

/// What discovery does for an errand; empty functions when discovery is off.
struct ScoutHooks {
    std::function<void(const base::Endpoint& udp)> solicit{};
    /// A document settled the doubts about a node.
    std::function<void(const discovery::NodeDocument& document, const base::IpAddress& from, bool authenticated)> confirmed{};
    std::function<void(const fleet::NodeId& id, bool unreachable)> unreachable{};
};

/// Thread: the fleet loop.
class Scout {
public:
    /// `proofs` outlives this object.
    Scout(net::Loop& loop, net::Network& network, FleetOwner& fleet, discovery::InquiryOptions inquiry,
          discovery::ProofBook& proofs, ScoutHooks hooks, NodeSurroundings around = {});

    void carry_out(const fleet::Confirm& wanted);
    void carry_out(const fleet::Probe& wanted);
    void carry_out(const fleet::Watch& wanted);
    void carry_out(const fleet::Unwatch& wanted);
    void carry_out(const fleet::PollStatic& wanted);

    /// Named at run time, through the admin API.
    void add_static(StaticNode node);
    void remove_static(const fleet::NodeId& id);
    struct Named {
        StaticNode node;
        bool configured{false};
        bool ollana{false};
        std::uint64_t revision{0}; ///< another one after each change
    };
    /// Null: no such node was named.
    [[nodiscard]] const Named* named(const fleet::NodeId& id) const;
    /// Whether the service at that node takes its key: "configured", "rejected", "missing", or "unknown" when it did not answer.
    /// Empty: it is no cloud node. `told`: once, now or later.
    void check_key(const fleet::NodeId& id, std::function<void(std::string)> told);
    /// An Ollana server, which its own keeper remembers. False: a person named that URL himself, and that counts.
    bool show_ollana(StaticNode node);
    /// Those of flags and file: what is new appears, what is gone leaves.
    void replace_configured(std::vector<StaticNode> nodes);
    /// What named nodes are checked against.
    [[nodiscard]] const NodeSurroundings& surroundings() const { return around_; }
    /// Named by flags or file: there again after the next reload.
    [[nodiscard]] bool is_of_the_file(const fleet::NodeId& id) const;
    /// Those named at run time: worth saving.
    [[nodiscard]] std::vector<StaticNode> added_at_run_time() const;
    [[nodiscard]] net::Task<void> stop();

private:
    net::Task<void> confirm(fleet::Confirm wanted);
    net::Task<void> probe(fleet::Probe wanted);
    net::Task<fleet::ProbeDone> ask_version(fleet::NodeId id, fleet::Address address);
    net::Task<void> watch(fleet::Watch wanted, std::shared_ptr<discovery::WatchConnection> canary);
    net::Task<void> poll(fleet::PollStatic wanted);
    net::Task<void> ask_with_key(StaticNode node, std::function<void(std::string)> told);
    net::Task<fleet::StaticPolled> poll_once(StaticNode node, bool full);
    net::Task<base::Result<fleet::NodeFacts>> read_lists(const StaticNode& node, const fleet::Address& address,
                                                         fleet::NodeFacts facts);
    net::Task<base::Result<http::Answer>> get(StaticNode node, fleet::Address address, std::string path, std::string_view method = "GET");

    net::Loop& loop_;
    net::Network& network_;
    FleetOwner& fleet_;
    ScoutHooks hooks_;
    NodeSurroundings around_;
    http::Pool pool_;
    discovery::ProofBook& proofs_;
    discovery::Inquiry inquiry_;
    void enter(StaticNode node, Named how);
    std::map<fleet::NodeId, Named> static_nodes_;
    std::uint64_t revision_{0};
    base::Uuid herd_id_;
    std::map<fleet::NodeId, std::shared_ptr<discovery::WatchConnection>> watches_;
    std::map<fleet::NodeId, fleet::NodeFacts> polled_; // what polls of the version alone keep
    net::TaskGroup tasks_;
    bool stopping_{false};
};

/// Why a node that was named did not answer, for people. `waited`: since it was asked.
[[nodiscard]] std::string why_not_polled(const base::Error& error, base::Duration waited);

} // namespace herd::app
