#pragma once
// Keeps models in memory where they are pinned: looks at each change of the fleet, and has nodes load what is missing by
// a request of herd's own (a client's that leaves would end the load). Nothing of it runs while nothing is pinned. Popular
// models are preloaded here too, after the pins, where that is switched on.
#include "herd/fleet_owner.hpp"
#include "herd/pins/plan.hpp"
#include "herd/pins/preload.hpp"
#include "http/pool.hpp"
#include "net/task_group.hpp"

#include <memory>
#include <string>
#include <vector>

namespace herd::app::pins {

struct KeeperOptions {
    base::Duration at_most_every{std::chrono::milliseconds{100}};
    base::Duration load_max{std::chrono::minutes{10}};
    base::Duration listing_max{std::chrono::seconds{10}}; ///< until the node's list shows what was loaded
    PlanLimits limits{};
};

/// Thread: the fleet loop.
class Keeper {
public:
    Keeper(net::Loop& loop, net::Network& network, FleetOwner& fleet, base::Rng rng, KeeperOptions options = {});

    void want(std::vector<Pin> pins);
    /// The most popular first; none: nothing is preloaded. Looks at the fleet at once.
    void preload(std::vector<Popular> models);
    /// The fleet is another one.
    void changed(const std::shared_ptr<const fleet::Snapshot>& snapshot);
    [[nodiscard]] const Plan& plan() const { return plan_; }
    [[nodiscard]] net::Task<void> stop();

private:
    void look();
    void start(Request request);
    [[nodiscard]] bool idle() const { return plan_.idle() && preload_.idle(); }
    void arm(base::Instant at);
    net::Task<void> carry_out(Request request);
    net::Task<std::string> ask(const Request& request);
    net::Task<void> until_listed(const Request& request);

    net::Loop& loop_;
    FleetOwner& fleet_;
    KeeperOptions options_;
    http::Pool pool_;
    Plan plan_;
    Preload preload_;
    std::shared_ptr<const fleet::Snapshot> latest_;
    net::Timer timer_;
    net::TaskGroup tasks_;
    std::optional<base::Instant> armed_for_;
    base::Instant looked_at_{};
    bool stopping_{false};
};

} // namespace herd::app::pins
