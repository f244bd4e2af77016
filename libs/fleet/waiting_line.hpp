#pragma once
// The requests that wait for one model, and in which order they may be looked at: bands by priority, within a
// band those clients first that did not lately use much more than their share (in predicted seconds, forgotten by
// half each minute), within a client first come first served. Which of those in turn goes first is the
// dispatcher's to say. Whoever has waited past `patience` goes before all bands, so that nothing starves; but who
// had more than its share goes before its like only, else a long queue would turn into right of way.
// Source: scheduling.md 2.
#include "fleet/alarms.hpp"
#include "fleet/profile.hpp"

#include <array>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace herd::fleet {

/// One acquire in progress.
struct Waiter {
    Ticket ticket{0};
    Profile profile{};
    std::string asked_key{};   ///< the model asked for, when a fallback is waited for instead; else empty
    base::Instant queued_at{};
    base::Instant deadline{never};
    base::Instant hold_until{never};   ///< nobody routable has the model: refuse then
    base::Instant settle_until{never}; ///< nobody known has the model, but one may appear: decide then

    // As predicted when the line was last looked at.
    base::Instant start_at{};
    int ahead{0};
    double service_s{0};
    bool loading{false};     ///< waits for a node that is loading the model
    bool passes_over{false}; ///< a place is free, but a better one is worth the wait
    const void* chose{nullptr}; ///< the place it was to wait for (its ModelOnNode); only ever compared

    [[nodiscard]] base::Instant due() const { return std::min({deadline, hold_until, settle_until}); }
    /// No wish of its own: what holds for one such waiter of a model holds for all.
    [[nodiscard]] bool plain() const
    {
        return profile.node.empty() && profile.labels.empty() && profile.exclude.empty() && !profile.allow_cloud
            && profile.rules == nullptr && profile.tool == Tool::none;
    }
    [[nodiscard]] bool routable() const { return hold_until == never && settle_until == never; }
};

class WaitingLine {
public:
    struct Order {
        base::Duration patience{std::chrono::seconds{200}}; ///< then it goes before all bands
        double turn_s{30}; ///< a client may use so much more than twice its share and still be in turn
    };
    /// How a client stands to the others of its band.
    struct Share {
        bool in_turn{true};
        /// Slots that the others may want at a time, when this client is out of turn or its band gives way to them;
        /// 0: they used none lately.
        int reserve{0};
    };
    /// A waiter with its rank: a lower one goes first whatever it costs.
    struct Ranked {
        Waiter* waiter{nullptr};
        int rank{0};
        int reserve{0};           ///< slots to leave to others: see Share
        double key{0};            ///< for the dispatcher: cost less the credit for waiting
        std::size_t first{0};     ///< of its candidates on the dispatcher's board
        std::size_t last{0};
    };

    /// A second attempt goes before its client's other requests: it has waited before. The waiter must stay
    /// where it is until removed.
    void add(Waiter& waiter, base::Instant now);
    void remove(const Waiter& waiter);
    [[nodiscard]] std::size_t size() const { return size_; }

    // Of the dispatcher's last pass over this line.
    std::uint64_t pass{0};
    base::Instant looked_at{};

    [[nodiscard]] bool empty() const { return size_ == 0; }

    /// Those who may be next, at most `limit`, each client's oldest. Appends to `out`, lower ranks first.
    void window(base::Instant now, std::size_t limit, const Order& order, std::vector<Ranked>& out) const;
    /// The client was given (or, negative, did not use) so much service.
    void charge(const std::string& client, Priority priority, double seconds, base::Instant now);
    [[nodiscard]] Share share_of(const std::string& client, Priority priority, const Order& order,
                                 base::Instant now) const;

    template <class Visit>
    void each(Visit&& visit) const
    {
        for (const auto& band : bands_) {
            for (const auto& [at, waiter] : band.by_age) {
                visit(*waiter);
            }
        }
    }

private:
    /// Seconds of service, forgotten by half in each half-life.
    struct Use {
        double lately{0}; ///< half-life a minute: whose turn it is
        double usual{0};  ///< five minutes: how many slots are in use at a time
        Use& operator+=(const Use& other);
        [[nodiscard]] Use without(const Use& other) const;
    };
    struct Client {
        std::deque<Waiter*> waiters{};
        Use used_{};            ///< as of used_at
        base::Instant used_at{};
        [[nodiscard]] Use used(base::Instant now) const;
    };
    struct ByAge {
        bool operator()(const std::pair<base::Instant, Waiter*>& a, const std::pair<base::Instant, Waiter*>& b) const
        {
            return std::pair(a.first, a.second->ticket) < std::pair(b.first, b.second->ticket);
        }
    };
    struct Band {
        std::map<std::string, Client> clients{}; ///< idle ones too, while what they were served still counts
        std::set<std::pair<base::Instant, Waiter*>, ByAge> by_age{};
        std::size_t backlogged{0};
        /// What all its clients used, and how much of it one may have had lately and still be in turn.
        struct Sum {
            Use all{};
            double limit{0};
            Use above{}; ///< of the bands that this one gives way to
        };
        [[nodiscard]] Sum sum(base::Instant now, double turn_s) const;
    };
    [[nodiscard]] Band::Sum sum_of(Priority priority, const Order& order, base::Instant now) const;
    Band& band_of(Priority priority) { return bands_[static_cast<std::size_t>(priority)]; }
    [[nodiscard]] const Band& band_of(Priority priority) const { return bands_[static_cast<std::size_t>(priority)]; }
    static Share share_in(const Band::Sum& sum, const Use& used);
    static int slots_wanted(const Use& others);
    static void forget_idle(Band& band, base::Instant now);

    std::array<Band, 3> bands_{};
    std::size_t size_{0};
};

} // namespace herd::fleet
