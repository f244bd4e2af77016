#pragma once
// Who gets which place, and who waits for how long. A request leaves here only when a slot is free for it; slots
// are reserved in the same step, so that a burst never sees one slot twice. The dispatcher holds the queue, the
// leases and the retry budget; what a request costs where is cost.hpp's to say.
//
// In files by what happens: arrive.cpp (a request comes), judge.cpp (what becomes of it now), leave.cpp (it goes
// without a place), grant.cpp and finish.cpp (a place is given, and given back), dispatcher.cpp (something changed),
// serve.cpp (in which order those waiting are looked at), pick.cpp (the best place for one of them, now or later),
// explain.cpp (the same, told), check.cpp (the promises, recounted).
//
// What keeps it cheap: an arrival that finds nobody waiting looks once at the holders of its model; a freed slot
// looks only at a window of its own line; nothing is built while nobody waits.
#include "fleet/cost.hpp"
#include "fleet/fleet.hpp"
#include "fleet/membership.hpp"
#include "fleet/node_table.hpp"
#include "fleet/open_leases.hpp"
#include "fleet/retry_budget.hpp"
#include "fleet/shortage.hpp"
#include "fleet/turns.hpp"
#include "fleet/waiting_line.hpp"

#include <map>
#include <unordered_map>

namespace herd::fleet {

class Dispatcher {
public:
    Dispatcher(const FleetOptions& options, base::Rng& rng, NodeTable& nodes, Membership& membership);

    void acquire(Ticket ticket, const Profile& profile, Step& step);
    void cancel(const AcquireCancelled& event, Step& step);
    /// Gives the place back and takes note of how it ended; grants nothing yet (see run()).
    void finish(const LeaseFinished& event, Step& step);
    void restore(const LearnedRestored& event);
    /// An announcement was taken: perhaps it tells of requests that are none of ours.
    void heard(const NodeId& id, Step& step);
    /// Refuses whoever has waited long enough.
    void tick(Step& step);
    /// Grants and refuses what the step's changes allow. Call once at the end of each step.
    void run(Step& step);

    [[nodiscard]] std::optional<base::Instant> next() const;
    [[nodiscard]] Totals totals() const;
    /// Adds to NodeView::queued of each node what could only run there. NodeRecord::view is up to date.
    void count_queued(std::vector<NodeView>& views);
    [[nodiscard]] std::map<std::string, ModelQueue> queues() const; ///< as Snapshot::queues
    [[nodiscard]] Decision explain(const Profile& profile, base::Instant now);
    [[nodiscard]] std::optional<Standing> standing(Ticket ticket, base::Instant now) const;
    [[nodiscard]] const Knowledge& knowledge() const { return knowledge_; }
    [[nodiscard]] std::string check(base::Instant now);

private:
    static constexpr base::Duration come_back_in{std::chrono::seconds{5}}; ///< for who is refused for want of a node
    static constexpr base::Duration look_again_in{std::chrono::seconds{1}}; ///< at the latest, each line of slots
    struct LineKey {
        Need need{Need::slot};
        std::string model{};
        auto operator<=>(const LineKey&) const = default;
    };
    enum class Fate : std::uint8_t {
        routable, ///< candidates_ tells who may serve it
        hold,     ///< known nodes have it, none can be sent requests
        settle,   ///< nobody known has it, but somebody may appear
        refuse,   ///< `why` and `message` tell
    };
    struct Judgement {
        Fate fate{Fate::refuse};
        base::Errc why{base::Errc::no_node};
        std::string message{};
    };
    /// Where a request should go: index of a candidate, and whether now.
    struct Pick {
        std::optional<std::size_t> place{};
        bool now{false};
        bool passed_over{false}; ///< a place is free, but waiting is better
        double total_s{0};
        double wait_s{0};
    };

    /// What a choice takes into account of the others that wait for the model. Nobody waits: all 0.
    struct Outlook {
        std::uint64_t pass_before{0}; ///< over this line: who chose which place then
        double waited_s{0};           ///< lately, by all of them: what another copy of the model may cost
        const void* chose{nullptr};   ///< the place this one chose then
        Priority priority{Priority::normal}; ///< of this one
    };

    // judge.cpp
    [[nodiscard]] Judgement judge(const Profile& profile, base::Instant now, bool may_settle);
    [[nodiscard]] Judgement judge_taken(const Profile& profile) const;
    [[nodiscard]] Judgement judge_absent(const Profile& profile, base::Instant now, bool may_settle,
                                         bool pin_unknown) const;
    /// Fills candidates_ with every known node that the request may mean. False: the pin names nobody.
    [[nodiscard]] bool gather(const Profile& profile);
    void gather_one(NodeRecord& node, const Profile& profile);
    void leave_to_tools(const Profile& profile);
    [[nodiscard]] bool mark(const Profile& profile, bool last_resort, base::Instant now);
    void hold_back(base::Instant now);
    void keep_to_tier(const Profile& profile, base::Instant now);
    [[nodiscard]] const NodeRecord* lacking_node(const Profile& profile) const;
    [[nodiscard]] Judgement unfit(const Profile& profile) const;
    [[nodiscard]] static bool fits(const Candidate& candidate, const Profile& profile, base::Instant now);
    /// One of candidates_ may serve it as far as memory goes.
    [[nodiscard]] bool fits_somewhere(const Profile& profile, base::Instant now) const;
    [[nodiscard]] bool means(const Profile& profile, const NodeRecord& node);

    // policy.cpp
    [[nodiscard]] Pick choose(const Profile& profile, std::span<Candidate> candidates, const Outlook& outlook,
                              base::Duration waited, base::Instant now);
    [[nodiscard]] Pick pick_in_turn(const Profile& profile, std::span<Candidate> candidates, base::Instant now);
    void keep_to_bound(const Profile& profile, base::Instant now);
    void note_rules(OpenLease& lease, const Candidate& choice, const Profile& profile);
    [[nodiscard]] bool room_to_wait() const;

    // serve.cpp
    void serve(const LineKey& key, Step& step);
    void fill_board(WaitingLine::Ranked& ranked, base::Instant now);
    [[nodiscard]] Outlook look_out(const LineKey& key, WaitingLine& line, base::Instant now);
    void walk(const LineKey& key, Outlook outlook, Step& step);
    void set_apart(std::span<Candidate> candidates, int slots);
    void refresh(std::span<Candidate> candidates, const Task& task, base::Instant now);
    void look_again(const LineKey& key, base::Instant at) { line_alarms_.set(key, at); }
    [[nodiscard]] double wait_behind(const Profile& profile, double ahead_s, base::Instant now) const;
    [[nodiscard]] WaitingLine::Order order() const;
    [[nodiscard]] Outlook outlook_of(const LineKey& key, const WaitingLine& line, base::Instant now) const;

    // pick.cpp
    [[nodiscard]] Pick pick(std::span<Candidate> candidates, const Outlook& outlook, base::Duration waited,
                            base::Instant now);
    [[nodiscard]] double weigh(const Candidate& candidate, double wait, const Outlook& outlook) const;
    [[nodiscard]] double crowd_at(const ModelOnNode& model, const Outlook& outlook) const;
    void join_crowd(Waiter& waiter, const ModelOnNode& model, const Outlook& outlook);
    [[nodiscard]] double ready_in(Candidate& candidate, base::Instant now);
    [[nodiscard]] double slot_free_in(const Candidate& candidate, base::Instant now);
    [[nodiscard]] double blocked_for(Candidate& candidate, base::Instant now) const;
    void reserve(const Candidate& candidate, base::Instant now);

    /// What would become of a request, and whether that is a place in time.
    struct Told {
        Decision decision{};
        bool serves{false};
    };

    // explain.cpp
    [[nodiscard]] Told explain_as(const Profile& profile, base::Instant now, bool may_settle, std::size_t most);
    [[nodiscard]] bool in_time(const Profile& profile, const Pick& best, base::Instant now) const;
    void add_those_without(const Profile& profile);
    void list_candidates(Decision& out, std::size_t most);
    [[nodiscard]] std::shared_ptr<const Decision> decision_of(const Profile& profile, const Task& task,
                                                              std::span<const Candidate> candidates,
                                                              std::optional<std::size_t> chosen, double total_s);

    // arrive.cpp
    void retry(Ticket ticket, const Profile& profile, Step& step);
    void seat(Ticket ticket, const Profile& profile, Step& step);
    [[nodiscard]] bool settle_now(Ticket ticket, const Profile& profile, const Judgement& judgement, Step& step);
    [[nodiscard]] bool place_now(Ticket ticket, const Profile& profile, base::Duration queued, Step& step);
    [[nodiscard]] bool retry_is_free(const Profile& profile) const;
    [[nodiscard]] bool fall_back(Ticket ticket, const Profile& profile, Step& step);
    [[nodiscard]] bool may_queue(Ticket ticket, const Profile& profile, Step& step);
    void enqueue(Ticket ticket, const Profile& profile, const Judgement& judgement, Step& step);
    void place(Waiter& waiter, Fate fate, base::Instant now);
    [[nodiscard]] double expected_service(const Task& task, base::Instant now);

    // leave.cpp
    using Taken = std::unordered_map<Ticket, Waiter>::node_type;
    /// Out of the queue; the waiter lives as long as what is returned.
    Taken take(Waiter& waiter);
    void expire(Waiter& waiter, Step& step);
    void reject_early(Ticket ticket, Step& step);
    void refuse(Ticket ticket, base::Errc why, std::string message, base::Duration retry_after, Step& step);
    /// "no node that has model 'm' and carries the label 'eu' can be reached": what all who could serve it have in common.
    [[nodiscard]] static std::string nobody_reached(const Profile& profile);
    [[nodiscard]] base::Duration retry_estimate(const Profile& profile, base::Instant now) const;

    // grant.cpp
    void grant(Ticket ticket, const Profile& profile, const Task& task, std::span<const Candidate> candidates,
               std::size_t chosen, base::Duration queued, Step& step);
    void occupy(OpenLease& lease, const Candidate& choice, const Task& task, Step& step);
    void count_reloads(const Candidate& choice, std::span<const Candidate> candidates, const Profile& profile);

    // finish.cpp
    void vacate(const OpenLease& lease, NodeRecord& node, Result result, Step& step);
    void learn_from(const OpenLease& lease, NodeRecord& node, const Outcome& outcome, Step& step);

    // dispatcher.cpp
    void review(const LineKey& key, Step& step);
    void add_lines_of(const NodeId& id, std::set<LineKey>& lines) const;

    // check.cpp
    [[nodiscard]] std::string check_leases() const;
    [[nodiscard]] std::string check_waiter(const Waiter& waiter, base::Instant now);

    const FleetOptions& options_;
    base::Rng& rng_;
    NodeTable& nodes_;
    Membership& membership_;
    Knowledge knowledge_{};
    RetryBudget budget_{};
    Shortage shortage_{};
    std::unordered_map<Ticket, Waiter> waiting_{};
    std::map<LineKey, WaitingLine> lines_{};
    Alarms<Ticket> alarms_{};
    Alarms<LineKey> line_alarms_{}; ///< each line of slots is looked at again within a second
    OpenLeases leases_{};
    Turns turns_{};
    Bound bound_{};
    std::unordered_map<std::string, base::Instant> load_trouble_{}; ///< models whose load failed lately: until when
    std::size_t pinned_{0};         ///< waiters that name a node
    std::size_t settling_{0};       ///< waiters with settle_until

    // Scratch, kept for its memory.
    std::vector<Candidate> candidates_{};
    std::vector<Candidate> board_{};              ///< the candidates of every waiter in the window
    std::vector<WaitingLine::Ranked> window_{};
    std::vector<std::vector<double>> queues_{};   ///< by ModelOnNode::queue: when each slot frees, with reservations
    std::size_t queues_used_{0};
    std::uint64_t pass_{0};
    std::vector<double> ends_{};
    std::vector<std::pair<double, std::uint32_t>> by_speed_{};
    std::vector<std::uint32_t> order_{};

    std::uint64_t granted_{0};
    std::uint64_t finished_{0};
    std::uint64_t asked_{0};
    std::uint64_t answered_{0};
    Totals totals_{};
    std::string wrong_{}; ///< a broken promise seen while working, for check()
};

} // namespace herd::fleet
