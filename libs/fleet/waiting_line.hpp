#pragma once
// The requests that wait for one model, and in which order they may be looked at: bands by priority, within a
// band the clients that got least service first (deficit fairness, in predicted seconds), within a client first
// come first served. Which of those in turn goes first is the dispatcher's to say. Whoever has waited past
// `patience` goes before all bands, so that nothing starves. Source: scheduling.md 2.
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

    [[nodiscard]] base::Instant due() const { return std::min({deadline, hold_until, settle_until}); }
    /// No wish of its own: what holds for one such waiter of a model holds for all.
    [[nodiscard]] bool plain() const
    {
        return profile.node.empty() && profile.labels.empty() && profile.exclude.empty();
    }
    [[nodiscard]] bool routable() const { return hold_until == never && settle_until == never; }
};

class WaitingLine {
public:
    struct Order {
        base::Duration patience{std::chrono::seconds{60}}; ///< then it goes before all bands
        double credit_s{8}; ///< a client that comes back is served so much before those who waited all along
        double turn_s{2};   ///< clients within so much of the least served one are in turn together
    };
    /// A waiter with its rank: a lower one goes first whatever it costs.
    struct Ranked {
        Waiter* waiter{nullptr};
        int rank{0};
        double over_s{0};         ///< service its client got beyond the least served one of the band
        double key{0};            ///< for the dispatcher: cost less the credit for waiting
        std::size_t first{0};     ///< of its candidates on the dispatcher's board
        std::size_t last{0};
    };

    /// A second attempt goes before its client's other requests: it has waited before. The waiter must stay
    /// where it is until removed.
    void add(Waiter& waiter, const Order& order);
    void remove(const Waiter& waiter);
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }

    /// Those who may be next, at most `limit`, each client's oldest. Appends to `out`, lower ranks first.
    void window(base::Instant now, std::size_t limit, const Order& order, std::vector<Ranked>& out) const;
    /// The client was given (or, negative, did not use) so much service.
    void charge(const std::string& client, Priority priority, double seconds);

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
    struct Client {
        std::deque<Waiter*> waiters{};
        double served_s{0};
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
        double reached_s{0}; ///< service that whoever was served last had got before: where newcomers are counted from
        [[nodiscard]] double least_served() const;
    };
    Band& band_of(Priority priority) { return bands_[static_cast<std::size_t>(priority)]; }
    static void forget_idle(Band& band, double below);

    std::array<Band, 3> bands_{};
    std::size_t size_{0};
};

} // namespace herd::fleet
