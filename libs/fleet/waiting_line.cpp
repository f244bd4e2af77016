#include "fleet/waiting_line.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace herd::fleet {
namespace {

constexpr std::size_t idle_clients_max = 256;
constexpr double half_life_s = 60;  ///< of what a client used
constexpr double shares_most = 2;   ///< who used more than so many shares (as if one more shared) is out of turn
constexpr double active_s = 1;      ///< who used more lately counts among those who share
constexpr double others_least = 0.01; ///< slots: less use by the others is none

} // namespace

double WaitingLine::Client::used(base::Instant now) const
{
    return used_s * std::exp2(-base::seconds(now - used_at) / half_life_s);
}

WaitingLine::Band::Use WaitingLine::Band::use(base::Instant now, double turn_s) const
{
    Use out;
    double active = 0;
    for (const auto& [name, client] : clients) {
        const double used = client.used(now);
        out.sum += used;
        active += !client.waiters.empty() || used > active_s ? 1 : 0;
    }
    out.limit = shares_most * out.sum / (active + 1) + turn_s;
    return out;
}

/// A client that decays alone keeps `used` = rate x half-life / ln 2: that is how use becomes slots.
WaitingLine::Share WaitingLine::share_in(const Band::Use& use, double used)
{
    if (used <= use.limit) {
        return {};
    }
    const double others = (use.sum - used) * std::numbers::ln2 / half_life_s;
    return {false, others < others_least ? 0.0 : std::ceil(others + std::sqrt(others))};
}

WaitingLine::Share WaitingLine::share_of(const std::string& client, Priority priority, const Order& order,
                                         base::Instant now) const
{
    const auto& band = band_of(priority);
    const auto at = band.clients.find(client);
    return at == band.clients.end() ? Share{} : share_in(band.use(now, order.turn_s), at->second.used(now));
}

void WaitingLine::forget_idle(Band& band, base::Instant now)
{
    std::erase_if(band.clients, [now](const auto& entry) {
        return entry.second.waiters.empty() && entry.second.used(now) <= active_s;
    });
}

void WaitingLine::add(Waiter& waiter, base::Instant now)
{
    auto& band = band_of(waiter.profile.priority);
    if (band.clients.size() > idle_clients_max + band.backlogged) {
        forget_idle(band, now);
    }
    auto& client = band.clients[waiter.profile.client];
    band.backlogged += client.waiters.empty() ? 1U : 0U;
    if (waiter.profile.attempt > 0) {
        client.waiters.push_front(&waiter);
    } else {
        client.waiters.push_back(&waiter);
    }
    band.by_age.emplace(waiter.queued_at, &waiter);
    ++size_;
}

void WaitingLine::remove(const Waiter& waiter)
{
    auto& band = band_of(waiter.profile.priority);
    const auto at = band.clients.find(waiter.profile.client);
    const auto place = std::ranges::find(at->second.waiters, &waiter);
    band.by_age.erase({waiter.queued_at, *place});
    at->second.waiters.erase(place);
    band.backlogged -= at->second.waiters.empty() ? 1U : 0U;
    --size_;
}

void WaitingLine::window(base::Instant now, std::size_t limit, const Order& order, std::vector<Ranked>& out) const
{
    const auto begin = out.size();
    const auto is_full = [&] { return out.size() - begin >= limit; };
    for (const auto& band : bands_) { // first, so that a full window does not keep them out
        const auto use = band.use(now, order.turn_s);
        for (const auto& [since, waiter] : band.by_age) {
            if (now - since <= order.patience || is_full()) {
                break;
            }
            if (share_in(use, band.clients.find(waiter->profile.client)->second.used(now)).in_turn) {
                out.push_back({waiter, 0, 0, 0, 0, 0});
            }
        }
    }
    int rank = 1; // of those in turn; then those out of turn who waited long, then the others out of turn
    for (const auto& band : bands_) {
        if (band.backlogged == 0) {
            rank += 3;
            continue;
        }
        const auto use = band.use(now, order.turn_s);
        const auto each = std::max<std::size_t>(2, limit / band.backlogged);
        for (const bool in_turn : {true, false}) {
            for (const auto& [name, client] : band.clients) {
                if (client.waiters.empty()) {
                    continue;
                }
                const auto share = share_in(use, client.used(now));
                if (share.in_turn != in_turn) {
                    continue;
                }
                for (std::size_t i = 0; i < std::min(each, client.waiters.size()) && !is_full(); ++i) {
                    const bool long_ago = now - client.waiters[i]->queued_at > order.patience;
                    if (!in_turn || !long_ago) {
                        out.push_back({client.waiters[i], rank + (in_turn ? 0 : long_ago ? 1 : 2), share.reserve, 0, 0, 0});
                    }
                }
            }
        }
        rank += 3;
    }
}

void WaitingLine::charge(const std::string& client, Priority priority, double seconds, base::Instant now)
{
    auto& band = band_of(priority);
    auto at = band.clients.find(client);
    if (at == band.clients.end()) {
        if (seconds <= 0 || band.clients.size() > idle_clients_max + band.backlogged) {
            return;
        }
        at = band.clients.try_emplace(client).first;
    }
    at->second.used_s = std::max(0.0, at->second.used(now) + seconds);
    at->second.used_at = now;
}

} // namespace herd::fleet
