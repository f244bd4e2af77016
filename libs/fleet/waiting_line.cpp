#include "fleet/waiting_line.hpp"

#include <algorithm>

namespace herd::fleet {

void WaitingLine::add(Waiter& waiter)
{
    auto& band = band_of(waiter);
    auto line = std::ranges::find(band.clients, waiter.profile.client, &ClientLine::client);
    if (line == band.clients.end()) {
        line = band.clients.insert(band.clients.end(), ClientLine{waiter.profile.client, {}});
    }
    if (waiter.profile.attempt > 0) {
        line->waiters.push_front(&waiter);
    } else {
        line->waiters.push_back(&waiter);
    }
    band.by_age.emplace(waiter.queued_at, &waiter);
    ++size_;
}

void WaitingLine::remove(const Waiter& waiter)
{
    auto& band = band_of(waiter);
    const auto line = std::ranges::find(band.clients, waiter.profile.client, &ClientLine::client);
    const auto at = std::ranges::find(line->waiters, &waiter);
    band.by_age.erase({waiter.queued_at, *at});
    line->waiters.erase(at);
    if (line->waiters.empty()) {
        band.clients.erase(line);
    }
    --size_;
}

Waiter* WaitingLine::turn(Band& band, Waiter& waiter)
{
    const auto line = std::ranges::find(band.clients, waiter.profile.client, &ClientLine::client);
    band.clients.splice(band.clients.end(), band.clients, line);
    return &waiter;
}

} // namespace herd::fleet
