#pragma once
// The fleet loop's side of the fleet: the one place where events go in and effects come out. It keeps time
// (Tick), hands grants back to the relay loops, publishes snapshots, and passes every other effect on to
// whoever carries it out.
#include "base/loop_bound.hpp"
#include "fleet/fleet.hpp"
#include "net/timer.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace herd::app {

class SchedulerPort;

/// Thread: the fleet loop, except post().
class FleetOwner : base::LoopBound {
public:
    using EffectHandler = std::function<void(const fleet::Effect&)>;

    FleetOwner(net::Loop& loop, const fleet::FleetOptions& options, base::Rng rng);

    /// Applies now; when called from inside an effect handler, right after the current event.
    void apply(fleet::Event&& event);
    /// Applies on the fleet loop: at once when called there, else posted. Thread: any.
    void post(fleet::Event&& event);
    /// AcquireWanted for an asker that keeps its profile. False: not now, because this is another thread or an event is
    /// being applied; nothing was done. Thread: any.
    [[nodiscard]] bool acquire_now(fleet::Ticket ticket, const fleet::Profile& profile);

    /// Carries out what is not the owner's own business. Set once, before the first event.
    void on_effect(EffectHandler handler) { handler_ = std::move(handler); }
    /// Called with each published snapshot, on the fleet loop.
    void on_snapshot(std::function<void(const std::shared_ptr<const fleet::Snapshot>&)> listener)
    {
        on_snapshot_ = std::move(listener);
    }
    void attach(SchedulerPort& port) { ports_.push_back(&port); }
    void set_options(const fleet::FleetOptions& options) { fleet_.set_options(options); }

    /// Takes a picture now, publishes and returns it.
    std::shared_ptr<const fleet::Snapshot> publish();
    [[nodiscard]] std::vector<fleet::SavedNode> saved_pool() const { return fleet_.saved_pool(); }
    [[nodiscard]] std::vector<fleet::NodeId> approved() const { return fleet_.approved(); }
    [[nodiscard]] std::vector<fleet::Learned> learned() const { return fleet_.learned(); }
    [[nodiscard]] fleet::Decision explain(const fleet::Profile& profile) { return fleet_.explain(profile, loop_.now()); }
    [[nodiscard]] std::optional<fleet::Standing> standing(fleet::Ticket ticket) const
    {
        return fleet_.standing(ticket, loop_.now());
    }
    [[nodiscard]] net::Loop& loop() { return loop_; }
    /// No more ticks or publications.
    void stop();

private:
    template <class Take>
    void apply_all(const Take& first);
    template <class Take>
    void step(const Take& take);
    void carry_out(fleet::Effect& effect);
    void rearm();
    void snapshot_changed();

    net::Loop& loop_;
    fleet::Fleet fleet_;
    net::Timer tick_;
    net::Timer publish_;
    std::optional<base::Instant> armed_for_;
    base::Instant published_at_{};
    base::Duration publish_cost_{};
    bool publish_pending_{false};
    bool applying_{false};
    bool stopped_{false};
    std::deque<fleet::Event> waiting_; // events raised by effect handlers; empty between calls
    fleet::Effects effects_;
    std::vector<SchedulerPort*> ports_;
    EffectHandler handler_;
    std::function<void(const std::shared_ptr<const fleet::Snapshot>&)> on_snapshot_;
};

} // namespace herd::app
