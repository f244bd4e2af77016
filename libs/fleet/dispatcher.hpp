#pragma once
// Who gets which place, and who waits for how long. A request leaves here only when a slot is free for it;
// slots are reserved in the same step, so that a burst never sees one slot twice. The dispatcher holds the
// queue, the leases and the retry budget; which node is best is selection.hpp's to say.
//
// What keeps it cheap: after every step no waiting request could be granted. So an arrival looks only at the
// holders of its model, a freed slot only at its own line, and a changed node only at lines of its models.
#include "fleet/fleet.hpp"
#include "fleet/node_table.hpp"
#include "fleet/membership.hpp"
#include "fleet/retry_budget.hpp"
#include "fleet/selection.hpp"
#include "fleet/waiting_line.hpp"

#include <map>
#include <unordered_map>

namespace herd::fleet {

/// An attempt in progress.
struct OpenLease {
    Ticket ticket{0};
    NodeId node{};
    Need need{Need::slot};
    std::string model_key{};
    base::Endpoint endpoint{};
    std::uint64_t boot_id{0};
    std::uint64_t record{0}; ///< NodeRecord::serial
    base::Instant granted_at{};
};

class Dispatcher {
public:
    Dispatcher(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, Membership& membership);

    void acquire(const AcquireWanted& event, Step& step);
    void cancel(const AcquireCancelled& event, Step& step);
    /// Gives the place back and takes note of how it ended; grants nothing yet (see run()).
    void finish(const LeaseFinished& event, Step& step);
    /// Refuses whoever has waited long enough.
    void tick(Step& step);
    /// Grants and refuses what the step's changes allow. Call once at the end of each step.
    void run(Step& step);

    [[nodiscard]] std::optional<base::Instant> next() const { return alarms_.next(); }
    [[nodiscard]] Totals totals() const;
    /// Adds to NodeView::queued of each node what could only run there. NodeRecord::view is up to date.
    void count_queued(std::vector<NodeView>& views);
    [[nodiscard]] std::string check(base::Instant now);

private:
    struct LineKey {
        Need need{Need::slot};
        std::string model{};
        auto operator<=>(const LineKey&) const = default;
    };
    enum class Fate : std::uint8_t {
        granted, ///< `choice` tells where
        queue,   ///< a routable node has the model, no place is free
        hold,    ///< known nodes have it, none can be sent requests
        settle,  ///< nobody known has it, but somebody may appear
        refuse,  ///< `refusal` tells why
    };
    struct Judgement {
        Fate fate{Fate::refuse};
        Candidate choice{};
        base::Errc why{base::Errc::no_node};
        std::string message{};
    };

    [[nodiscard]] Judgement judge(const Profile& profile, base::Instant now, bool may_settle);
    [[nodiscard]] Judgement judge_taken(const Profile& profile) const;
    [[nodiscard]] Judgement judge_absent(const Profile& profile, base::Instant now, bool may_settle,
                                         bool pin_unknown) const;
    /// Fills candidates_ with every known node that the request may mean. False: the pin names nobody.
    [[nodiscard]] bool gather(const Profile& profile);
    void gather_one(NodeRecord& node, const Profile& profile);
    struct Marked {
        bool routable{false}; ///< some candidate takes requests
        bool free{false};     ///< and has a place
    };
    [[nodiscard]] Marked mark(Need need, bool last_resort);

    void grant(Ticket ticket, const Profile& profile, const Candidate& choice, base::Duration queued, Step& step);
    void refuse(Ticket ticket, base::Errc why, std::string message, base::Duration retry_after, Step& step);
    void enqueue(const AcquireWanted& event, const Judgement& judgement, Step& step);
    void place(Waiter& waiter, Fate fate, base::Instant now);
    void drop(Waiter& waiter);
    void expire(Waiter& waiter, Step& step);
    void review(const LineKey& key, Step& step);
    void serve_freed(const NodeId& id, const std::string& model, Step& step);
    void add_lines_of(const NodeId& id, std::set<LineKey>& lines) const;
    [[nodiscard]] bool means(const Profile& profile, const NodeRecord& node);
    [[nodiscard]] std::string check_leases() const;
    [[nodiscard]] bool retry_is_free(const Profile& profile) const;
    [[nodiscard]] base::Duration retry_estimate(const Profile& profile, std::size_t ahead);

    const FleetOptions& options_;
    base::Rng& rng_;
    NodeTable& nodes_;
    Membership& membership_;
    RetryBudget budget_{};
    std::map<Ticket, Waiter> waiting_{};
    std::map<LineKey, WaitingLine> lines_{};
    Alarms<Ticket> alarms_{};
    std::map<LeaseId, OpenLease> leases_{};
    std::vector<Candidate> candidates_{}; ///< kept for its memory
    std::size_t pinned_{0};               ///< waiters that name a node
    std::size_t settling_{0};             ///< waiters with settle_until
    LeaseId last_lease_{0};
    std::uint64_t granted_{0};
    std::uint64_t finished_{0};
    std::uint64_t asked_{0};
    std::uint64_t answered_{0};
    std::uint64_t requests_{0};
    std::uint64_t failed_{0};
    std::string wrong_{}; ///< a broken promise seen while working, for check()
};

} // namespace herd::fleet
