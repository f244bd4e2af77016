#pragma once
// One relay loop's door to the fleet loop. When both are the same loop, acquire() is a plain call that
// usually returns without suspending; otherwise question and answer are posted.
#include "herd/fleet_owner.hpp"
#include "proxy/scheduler.hpp"

#include <map>
#include <memory>
#include <optional>

namespace herd::app {

/// Thread: its relay loop, except deliver() and publish(), which the fleet loop calls.
class SchedulerPort final : public proxy::Scheduler {
public:
    using Answer = std::expected<fleet::Lease, fleet::Refusal>;

    SchedulerPort(net::Loop& loop, FleetOwner& owner, std::uint16_t index);

    fleet::Ticket new_ticket() override { return (std::uint64_t{index_} << 48) | ++last_ticket_; }
    bool try_acquire(fleet::Ticket ticket, const fleet::Profile& profile, Answer& answer) override;
    net::Task<Answer> acquire(fleet::Ticket ticket, fleet::Profile profile) override;
    void cancel(fleet::Ticket ticket) override;
    void finished(fleet::LeaseId lease, fleet::Outcome outcome) override;
    net::Task<fleet::Decision> explain(fleet::Profile profile) override;
    net::Task<std::optional<fleet::Standing>> standing(fleet::Ticket ticket) override;
    std::shared_ptr<const fleet::Snapshot> snapshot() const override { return snapshot_; }
    void tell(fleet::Event event) override { owner_.post(std::move(event)); }
    net::Task<std::shared_ptr<const fleet::Snapshot>> fresh_snapshot() override;

    void deliver(fleet::Ticket ticket, Answer&& answer);
    void publish(std::shared_ptr<const fleet::Snapshot> snapshot);
    [[nodiscard]] static std::size_t index_of(fleet::Ticket ticket) { return static_cast<std::size_t>(ticket >> 48); }

private:
    struct Waiting {
        explicit Waiting(net::Loop& loop) : event(loop) {}
        net::Event event;
        std::optional<Answer> answer;
    };
    void received(fleet::Ticket ticket, Answer&& answer);

    net::Loop& loop_;
    FleetOwner& owner_;
    std::uint16_t index_;
    std::uint64_t last_ticket_{0};
    fleet::Ticket asked_{0};         // by try_acquire(): the question is put already
    Answer* answer_{nullptr};        // where its answer goes, while it is being put
    std::map<fleet::Ticket, Waiting*> waiting_; // the objects live in acquire()'s frame
    std::shared_ptr<const fleet::Snapshot> snapshot_;
};

} // namespace herd::app
