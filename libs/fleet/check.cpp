// The promises of the dispatcher, counted again from scratch. For tests and the simulator: O(everything).
#include "fleet/dispatcher.hpp"

#include <algorithm>

namespace herd::fleet {

std::string Dispatcher::check_leases() const
{
    std::map<std::uint64_t, std::pair<int, std::map<std::string, int>>> by_record;
    for (const auto& [id, lease] : leases_) {
        auto& [all, slots] = by_record[lease.record];
        ++all;
        slots[lease.model_key] += lease.need == Need::slot ? 1 : 0;
    }
    for (const auto& [id, node] : nodes_.all()) {
        const auto& [all, slots] = by_record[node.serial];
        if (node.in_flight != all) {
            return "node " + id.text() + " counts " + std::to_string(node.in_flight) + " in flight, leases say "
                + std::to_string(all);
        }
        for (const auto& [key, model] : node.models) {
            const auto at = slots.find(key);
            if (model.in_flight != (at == slots.end() ? 0 : at->second)) {
                return "slots of " + key + " on " + id.text() + " do not match the leases";
            }
        }
    }
    return {};
}

std::string Dispatcher::check(base::Instant now)
{
    if (!wrong_.empty()) {
        return wrong_;
    }
    if (granted_ != finished_ + leases_.size()) {
        return "leases granted are not leases finished plus leases open";
    }
    if (asked_ != answered_ + waiting_.size()) {
        return "tickets taken are not tickets answered plus tickets waiting";
    }
    std::size_t in_lines = 0;
    for (const auto& [key, line] : lines_) {
        in_lines += line.size();
        if (line.empty() || line.size() > options_.queue_per_model) {
            return "the line of " + key.model + " has " + std::to_string(line.size()) + " waiting";
        }
    }
    std::size_t settling = 0;
    for (const auto& [ticket, waiter] : waiting_) {
        settling += waiter.settle_until != never ? 1U : 0U;
        (void)gather(waiter.profile);
        const auto online = mark(waiter.profile.need, false);
        if (online.free || (!online.routable && mark(waiter.profile.need, true).free)) {
            const auto at = std::ranges::find(candidates_, Exclusion::none, &Candidate::exclusion);
            return "ticket " + std::to_string(ticket) + " waits although node " + at->node->id.text() + " ("
                + std::string(to_string(at->node->state)) + ") has a place free";
        }
        if (waiter.due() < now) {
            return "ticket " + std::to_string(ticket) + " waits past its time";
        }
    }
    if (in_lines != waiting_.size() || settling != settling_ || alarms_.size() != waiting_.size()) {
        return "lines, alarms and waiting tickets do not match";
    }
    return check_leases();
}

} // namespace herd::fleet
