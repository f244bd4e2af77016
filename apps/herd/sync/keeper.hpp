#pragma once
// Keeps models where they are required: looks at the fleet once a second while anything is, and has nodes pull what is
// missing, through their own /api/pull. Nothing of it runs while nothing is required. What requests ask for, where that
// is allowed, is pulled here too. A pull ends with its node: what is lost keeps no place from others.
#include "herd/fleet_owner.hpp"
#include "herd/sync/asked.hpp"
#include "herd/sync/plan.hpp"
#include "http/pool.hpp"
#include "net/task_group.hpp"
#include "proxy/memory.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace herd::app::sync {

struct KeeperOptions {
    base::Duration every{std::chrono::seconds{1}};
    base::Duration silence_max{std::chrono::seconds{600}}; ///< of a node that pulls: it may check what it fetched for long
    base::Duration listing_max{std::chrono::seconds{10}};  ///< until its list shows what was pulled
    PlanLimits limits{};
    AskedLimits asked{};
};

/// Thread: the fleet loop.
class Keeper {
public:
    /// `pulls`: where it is told what is pulled, so that a client's pull of the same model joins in.
    Keeper(net::Loop& loop, net::Network& network, FleetOwner& fleet, proxy::PullMemory& pulls, base::Rng rng, KeeperOptions options = {});

    void require(std::vector<Requirement> wanted);
    void retry(std::string_view model, std::string_view node);
    /// Requests ask for a model that no node of theirs has. `waiting` hears when it is there, or why it is not.
    void bring(proxy::WantedModel wanted, std::weak_ptr<proxy::PullWait> waiting);
    /// It was deleted on purpose.
    void drop(const std::string& key) { plan_.drop(key); }
    [[nodiscard]] const Plan& plan() const { return plan_; }
    /// {"required":[…],"models":[{model, node, state, …}],"asked":[…]}.
    [[nodiscard]] std::string json() const;
    [[nodiscard]] net::Task<void> stop();

private:
    /// Somebody who asked: for what, and where it failed.
    struct Asker {
        proxy::WantedModel wanted{};
        std::weak_ptr<proxy::PullWait> waiting{};
    };
    /// A pull that a node was asked for.
    struct Talk {
        fleet::NodeId node{};
        http::ClientConnection* connection{nullptr};
        std::string ended{}; ///< why, when we did
        void end(std::string why);
    };
    void look();
    void arm(base::Duration in);
    void look_after_nodes();
    void start_asked();
    void join(const Asked::Pair& pair, Asker&& asker);
    void try_elsewhere(Asker&& asker, const fleet::NodeId& failed, const std::string& why);
    net::Task<void> pull_required(Pull wanted);
    net::Task<void> pull_asked(Pull wanted);
    net::Task<std::string> pull(Pull wanted);
    net::Task<std::string> ask(Pull wanted, proxy::PullMemory::Mark& pulling);
    net::Task<std::string> listen(Pull wanted, Talk& talk, proxy::PullMemory::Mark& pulling);
    net::Task<void> until_listed(Pull wanted);

    net::Loop& loop_;
    FleetOwner& fleet_;
    proxy::PullMemory& pulls_;
    KeeperOptions options_;
    base::SystemClock clock_;
    http::Pool pool_;
    Plan plan_;
    Asked asked_;
    struct Waiting {
        Waiting(proxy::PullMemory& pulls, const Asked::Pair& pair) : mark(pulls, pair.first, pair.second) {}
        proxy::PullMemory::Mark mark; ///< from before its turn comes: a client's own pull joins in
        std::vector<Asker> all{};
    };
    std::map<Asked::Pair, Waiting> waiting_; ///< of asked_.pending()
    std::vector<std::weak_ptr<Talk>> talks_; ///< their tasks have them
    net::Timer timer_;
    net::Timer nodes_timer_; ///< while there are talks_
    net::TaskGroup tasks_;
    bool stopping_{false};
};

/// What an answer of the admin API says. Pure.
[[nodiscard]] std::string plan_json(const Plan& plan, const Asked& asked, const proxy::PullMemory& pulls, base::Instant now, base::WallTime wall);

} // namespace herd::app::sync
