#include "fleet/waiting_line.hpp"

#include <algorithm>
#include <limits>

namespace herd::fleet {
namespace {

constexpr std::size_t idle_clients_max = 256;

} // namespace

double WaitingLine::Band::least_served() const
{
    double least = std::numeric_limits<double>::max();
    for (const auto& [name, client] : clients) {
        if (!client.waiters.empty()) {
            least = std::min(least, client.served_s);
        }
    }
    return backlogged == 0 ? 0 : least;
}

void WaitingLine::forget_idle(Band& band, double below)
{
    std::erase_if(band.clients, [below](const auto& entry) {
        return entry.second.waiters.empty() && entry.second.served_s <= below;
    });
}

void WaitingLine::add(Waiter& waiter, const Order& order)
{
    auto& band = band_of(waiter.profile.priority);
    const double start = band.reached_s - order.credit_s;
    if (band.clients.size() > idle_clients_max + band.backlogged) {
        forget_idle(band, start);
    }
    const auto [at, is_new] = band.clients.try_emplace(waiter.profile.client);
    auto& client = at->second;
    if (client.waiters.empty()) {
        client.served_s = std::max(is_new ? 0.0 : client.served_s, start);
        ++band.backlogged;
    }
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
    for (const auto& band : bands_) {
        for (const auto& [since, waiter] : band.by_age) {
            if (now - since <= order.patience || is_full()) {
                break;
            }
            out.push_back({waiter, 0, 0, 0, 0, 0});
        }
    }
    int rank = 1;
    for (const auto& band : bands_) {
        const double least = band.least_served();
        const auto share = std::max<std::size_t>(2, limit / std::max<std::size_t>(band.backlogged, 1));
        for (const bool in_turn : {true, false}) {
            for (const auto& [name, client] : band.clients) {
                if (client.waiters.empty() || (client.served_s <= least + order.turn_s) != in_turn) {
                    continue;
                }
                for (std::size_t i = 0; i < std::min(share, client.waiters.size()) && !is_full(); ++i) {
                    if (now - client.waiters[i]->queued_at <= order.patience) {
                        out.push_back({client.waiters[i], rank, client.served_s - least, 0, 0, 0});
                    }
                }
            }
            ++rank;
        }
    }
}

void WaitingLine::charge(const std::string& client, Priority priority, double seconds)
{
    auto& band = band_of(priority);
    if (const auto at = band.clients.find(client); at != band.clients.end()) {
        band.reached_s = std::max(band.reached_s, at->second.served_s);
        at->second.served_s += seconds;
    }
}

} // namespace herd::fleet
