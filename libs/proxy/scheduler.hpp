#pragma once
// The proxy's door to the fleet. One object per relay loop; the app builds it over the fleet loop, so that
// code here does not care whether the fleet runs on this loop (a plain call) or another (a posted one).
#include "fleet/event.hpp"
#include "fleet/fleet.hpp"
#include "net/asio.hpp"

#include <expected>
#include <memory>
#include <optional>

namespace herd::proxy {

/// Thread: its relay loop.
class Scheduler {
public:
    Scheduler() = default;
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;
    virtual ~Scheduler() = default;

    [[nodiscard]] virtual fleet::Ticket new_ticket() = 0;
    /// acquire() where that need not wait. False: acquire() must follow at once, with the same ticket and profile.
    [[nodiscard]] virtual bool try_acquire(fleet::Ticket /*ticket*/, const fleet::Profile& /*profile*/,
                                           std::expected<fleet::Lease, fleet::Refusal>& /*answer*/)
    {
        return false;
    }
    /// Waits in the router's queue for a place on a node. Every granted lease must be given back exactly once.
    [[nodiscard]] virtual net::Task<std::expected<fleet::Lease, fleet::Refusal>> acquire(fleet::Ticket ticket,
                                                                                          fleet::Profile profile) = 0;
    /// Ends a waiting acquire with Errc::cancelled (a lease granted meanwhile is given back inside).
    virtual void cancel(fleet::Ticket ticket) = 0;
    virtual void finished(fleet::LeaseId lease, fleet::Outcome outcome) = 0;
    /// Where such a request would go now and why. Takes nothing.
    [[nodiscard]] virtual net::Task<fleet::Decision> explain(fleet::Profile profile) = 0;
    /// How a waiting acquire stands; nothing when it does not wait.
    [[nodiscard]] virtual net::Task<std::optional<fleet::Standing>> standing(fleet::Ticket ticket) = 0;

    /// The latest published picture; may be some 100 ms old.
    [[nodiscard]] virtual std::shared_ptr<const fleet::Snapshot> snapshot() const = 0;
    /// Hands an event to the fleet (ModelsRead, LoadedRead).
    virtual void tell(fleet::Event event) = 0;
    /// A picture that includes everything told before.
    [[nodiscard]] virtual net::Task<std::shared_ptr<const fleet::Snapshot>> fresh_snapshot() = 0;
};

} // namespace herd::proxy
