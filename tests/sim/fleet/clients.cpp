#include "sim/fleet/clients.hpp"

namespace herd::test {

using namespace std::chrono_literals;
using namespace herd::fleet;

Clients::Clients(World& world) : world_(world)
{
    world_.on_answer = [this](Ticket ticket, const Answer& answer) { answered(ticket, answer); };
}

void Clients::request(Profile profile, Duration service)
{
    if (profile.attempt == 0) {
        ++started;
    }
    exchanges_.emplace(world_.next_ticket(), Exchange{profile, service}); // it may be answered before ask() returns
    world_.ask(std::move(profile));
}

void Clients::answered(Ticket ticket, const Answer& answer)
{
    if (answer.lease) {
        attempt(ticket, *answer.lease);
        return;
    }
    exchanges_.erase(ticket);
    if (answer.why() == base::Errc::cancelled) {
        ++cancelled;
    } else {
        ++refused[answer.why()];
    }
}

/// What an attempt at that address meets now.
std::optional<Result> Clients::trouble(const Lease& lease)
{
    for (const auto* box : world_.boxes()) {
        if (box->api() != lease.address.endpoint) {
            continue;
        }
        if (!box->cabled) {
            return Result::timed_out;
        }
        const bool listens = box->is_static || !box->gateway ? box->ollama : box->running;
        if (!listens) {
            return Result::refused;
        }
        return box->announced == AnnouncedState::backend_down ? std::optional{Result::failed} : std::nullopt;
    }
    return Result::timed_out;
}

void Clients::attempt(Ticket ticket, const Lease& lease)
{
    ++attempts;
    const auto at_once = trouble(lease);
    to_the_lost += at_once ? 1U : 0U;
    const auto service = exchanges_.at(ticket).service;
    const auto took = !at_once ? service : *at_once == Result::timed_out ? Duration{300ms} : Duration{1ms};
    world_.at(took, [this, ticket, lease, at_once] {
        auto result = at_once;
        if (!result && trouble(lease)) {
            result = Result::broken; // it died meanwhile
        }
        if (!result && world_.rng().chance(node_errors)) {
            result = Result::failed;
        }
        ended(ticket, lease, result.value_or(Result::served));
    });
}

void Clients::ended(Ticket ticket, const Lease& lease, Result result)
{
    const auto at = exchanges_.find(ticket);
    if (at == exchanges_.end()) {
        return; // of a herd that was restarted
    }
    auto exchange = std::move(at->second);
    exchanges_.erase(at);
    world_.finish(lease.id, result);
    if (result == Result::served) {
        ++served;
    } else if (exchange.profile.attempt >= 2) {
        ++refused[base::Errc::attempts_failed];
    } else {
        ++exchange.profile.attempt;
        exchange.profile.exclude.push_back(lease.node);
        request(exchange.profile, exchange.service);
    }
}

std::size_t Clients::forget_all()
{
    const auto count = exchanges_.size();
    exchanges_.clear();
    return count;
}

void Clients::lose_patience()
{
    for (const auto& [ticket, exchange] : exchanges_) {
        if (world_.waits(ticket)) {
            const auto leaving = ticket;
            world_.cancel(leaving);
            return;
        }
    }
}

std::size_t Clients::failed() const
{
    std::size_t all = 0;
    for (const auto& [why, count] : refused) {
        all += count;
    }
    return all;
}

} // namespace herd::test
