#pragma once
// The requests that wait for one model, in the order in which they are to be served: bands by priority, within
// a band the clients in turn, within a client first come first served. Whoever has waited past `patience`
// goes before all bands, so that nothing starves.
#include "fleet/alarms.hpp"
#include "fleet/profile.hpp"

#include <array>
#include <deque>
#include <list>
#include <set>
#include <string>
#include <utility>

namespace herd::fleet {

/// One acquire in progress.
struct Waiter {
    Ticket ticket{0};
    Profile profile{};
    base::Instant queued_at{};
    base::Instant deadline{never};
    base::Instant hold_until{never};   ///< nobody routable has the model: refuse then
    base::Instant settle_until{never}; ///< nobody known has the model, but one may appear: decide then

    [[nodiscard]] base::Instant due() const { return std::min({deadline, hold_until, settle_until}); }
    /// No wish of its own: what holds for one such waiter of a model holds for all.
    [[nodiscard]] bool plain() const
    {
        return profile.node.empty() && profile.labels.empty() && profile.exclude.empty();
    }
};

class WaitingLine {
public:
    static constexpr base::Duration patience{std::chrono::seconds{60}};

    /// A second attempt goes before its client's other requests: it has waited before. The waiter must stay
    /// where it is until removed.
    void add(Waiter& waiter);
    void remove(const Waiter& waiter);
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }

    /// Calls `take(waiter)` in order of service until it answers true; that waiter's client goes to the end of
    /// its band's round. Returns the waiter taken, or null. `take` must not change the line.
    template <class Take>
    Waiter* first(base::Instant now, Take&& take)
    {
        for (auto& band : bands_) {
            const bool starves = !band.by_age.empty() && now - band.by_age.begin()->first > patience;
            if (starves && take(*band.by_age.begin()->second)) {
                return turn(band, *band.by_age.begin()->second);
            }
        }
        for (auto& band : bands_) {
            for (auto& line : band.clients) {
                for (auto* waiter : line.waiters) {
                    if (take(*waiter)) {
                        return turn(band, *waiter);
                    }
                }
            }
        }
        return nullptr;
    }

private:
    struct ClientLine {
        std::string client{};
        std::deque<Waiter*> waiters{};
    };
    struct ByAge {
        bool operator()(const std::pair<base::Instant, Waiter*>& a, const std::pair<base::Instant, Waiter*>& b) const
        {
            return std::pair(a.first, a.second->ticket) < std::pair(b.first, b.second->ticket);
        }
    };
    struct Band {
        std::list<ClientLine> clients{}; ///< whose turn it is stands first
        std::set<std::pair<base::Instant, Waiter*>, ByAge> by_age{};
    };
    static Waiter* turn(Band& band, Waiter& waiter);
    Band& band_of(const Waiter& waiter) { return bands_[static_cast<std::size_t>(waiter.profile.priority)]; }

    std::array<Band, 3> bands_{};
    std::size_t size_{0};
};

} // namespace herd::fleet
