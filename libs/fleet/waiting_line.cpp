#include "fleet/waiting_line.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace herd::fleet {
namespace {

constexpr std::size_t idle_clients_max = 256;
constexpr double lately_s = 60;     ///< half-lives of what a client used
constexpr double usual_s = 300;
constexpr double shares_most = 2;   ///< who used more than so many shares (as if one more shared) is out of turn
constexpr double active_s = 1;      ///< who used more lately counts among those who share
constexpr double others_least = 0.01; ///< slots: less use by the others, lately, is none
constexpr double too_few = 0.005;   ///< how often the others may want more slots than are kept for them
constexpr int slots_kept_max = 64;

/// Use that fades and is kept up at so many slots comes to slots x half-life / ln 2.
double slots_of(double faded_s, double half_life_s) { return std::max(0.0, faded_s) * std::numbers::ln2 / half_life_s; }

} // namespace

WaitingLine::Use& WaitingLine::Use::operator+=(const Use& other)
{
    lately += other.lately;
    usual += other.usual;
    return *this;
}

WaitingLine::Use WaitingLine::Use::without(const Use& other) const
{
    return {lately - other.lately, usual - other.usual};
}

WaitingLine::Use WaitingLine::Client::used(base::Instant now) const
{
    const double gone = base::seconds(now - used_at);
    return {used_.lately * std::exp2(-gone / lately_s), used_.usual * std::exp2(-gone / usual_s)};
}

WaitingLine::Band::Sum WaitingLine::Band::sum(base::Instant now, double turn_s) const
{
    Sum out;
    double active = 0;
    for (const auto& [name, client] : clients) {
        const auto used = client.used(now);
        out.all += used;
        active += !client.waiters.empty() || used.lately > active_s ? 1 : 0;
    }
    out.limit = shares_most * out.all.lately / (active + 1) + turn_s;
    return out;
}

WaitingLine::Band::Sum WaitingLine::sum_of(Priority priority, const Order& order, base::Instant now) const
{
    auto out = band_of(priority).sum(now, order.turn_s);
    if (priority == Priority::batch) { // only in slack
        for (const auto above : {Priority::interactive, Priority::normal}) {
            out.above += band_of(above).sum(now, order.turn_s).all;
        }
    }
    return out;
}

/// Who come independently of each other and use m slots on average use more than k with Poisson's probability: the
/// least k that is enough nearly always.
int WaitingLine::slots_wanted(const Use& others)
{
    if (slots_of(others.lately, lately_s) < others_least) {
        return 0; // they have gone
    }
    const double mean = std::min(std::max(slots_of(others.usual, usual_s), slots_of(others.lately, lately_s)),
                                 static_cast<double>(slots_kept_max));
    double term = std::exp(-mean);
    double more = 1 - term;
    int slots = 0;
    while (more > too_few && slots < slots_kept_max) {
        term *= mean / ++slots;
        more -= term;
    }
    return slots;
}

WaitingLine::Share WaitingLine::share_in(const Band::Sum& sum, const Use& used)
{
    auto others = sum.above;
    const bool in_turn = used.lately <= sum.limit;
    if (!in_turn) {
        others += sum.all.without(used);
    }
    return {in_turn, slots_wanted(others)};
}

WaitingLine::Share WaitingLine::share_of(const std::string& client, Priority priority, const Order& order,
                                         base::Instant now) const
{
    const auto& band = band_of(priority);
    const auto at = band.clients.find(client);
    const auto sum = sum_of(priority, order, now);
    return share_in(sum, at == band.clients.end() ? Use{} : at->second.used(now));
}

void WaitingLine::forget_idle(Band& band, base::Instant now)
{
    std::erase_if(band.clients, [now](const auto& entry) {
        return entry.second.waiters.empty() && entry.second.used(now).usual <= active_s;
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
    for (const auto priority : {Priority::interactive, Priority::normal, Priority::batch}) {
        const auto& band = band_of(priority); // first, so that a full window does not keep them out
        if (band.by_age.empty() || now - band.by_age.begin()->first <= order.patience) {
            continue;
        }
        const auto sum = band.sum(now, order.turn_s);
        for (const auto& [since, waiter] : band.by_age) {
            if (now - since <= order.patience || is_full()) {
                break;
            }
            if (share_in(sum, band.clients.find(waiter->profile.client)->second.used(now)).in_turn) {
                out.push_back({waiter, 0, 0, 0, 0, 0});
            }
        }
    }
    int rank = 1; // of those in turn; then those out of turn who waited long, then the others out of turn
    for (const auto priority : {Priority::interactive, Priority::normal, Priority::batch}) {
        const auto& band = band_of(priority);
        if (band.backlogged == 0) {
            rank += 3;
            continue;
        }
        const auto sum = sum_of(priority, order, now);
        const auto each = std::max<std::size_t>(2, limit / band.backlogged);
        for (const bool in_turn : {true, false}) {
            for (const auto& [name, client] : band.clients) {
                if (client.waiters.empty()) {
                    continue;
                }
                const auto share = share_in(sum, client.used(now));
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
    auto& used = at->second;
    const auto before = used.used(now);
    used.used_ = {std::max(0.0, before.lately + seconds), std::max(0.0, before.usual + seconds)};
    used.used_at = now;
}

} // namespace herd::fleet
