// The promises of the dispatcher, counted again from scratch. For tests and the simulator: O(everything).
#include "fleet/dispatcher.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr base::Duration look_again_most{std::chrono::seconds{1}};

} // namespace

std::string Dispatcher::check_leases() const
{
    struct Count {
        int all{0};
        int loads{0};
        std::map<std::string, int> slots{};
        std::map<std::string, int> loads_of{}; ///< by model
    };
    std::map<std::uint64_t, Count> by_record;
    std::size_t open = 0;
    for (const auto& lease : leases_.table()) {
        if (lease.id == 0) {
            continue;
        }
        ++open;
        auto& count = by_record[lease.record];
        ++count.all;
        count.loads += lease.loads ? 1 : 0;
        count.loads_of[lease.assumed.model_key] += lease.loads ? 1 : 0;
        count.slots[lease.assumed.model_key] += lease.need == Need::slot ? 1 : 0;
    }
    if (open != leases_.size()) {
        return "the table of leases miscounts";
    }
    for (const auto& [id, node] : nodes_.all()) {
        const auto& count = by_record[node.serial];
        if (node.in_flight != count.all || node.loads != count.loads) {
            return "node " + id.text() + " counts " + std::to_string(node.in_flight) + " in flight and "
                + std::to_string(node.loads) + " loads, leases say " + std::to_string(count.all) + " and "
                + std::to_string(count.loads);
        }
        for (const auto& [key, loads] : count.loads_of) {
            if (loads > 1) {
                return "node " + id.text() + " has been given " + std::to_string(loads) + " loads of " + key + " at once";
            }
        }
        for (const auto& [key, model] : node.models) {
            const auto at = count.slots.find(key);
            if (model.in_flight != (at == count.slots.end() ? 0 : at->second)
                || model.running.size() != static_cast<std::size_t>(model.in_flight)) {
                return "slots of " + key + " on " + id.text() + " do not match the leases";
            }
        }
    }
    return {};
}

/// Nobody waits without a reason: either explain() finds no place free, or a better one is waited for; and the line
/// is looked at again within a second, since predictions may be wrong.
std::string Dispatcher::check_waiter(const Waiter& waiter, base::Instant now)
{
    const auto& profile = waiter.profile;
    if (waiter.due() < now) {
        return "waits past its time";
    }
    const bool routable = judge(profile, now, waiter.settle_until != never).fate == Fate::routable;
    if (routable != waiter.routable()) {
        return "is thought to wait for a slot and cannot, or the other way round";
    }
    if (!routable) {
        return {};
    }
    if (profile.need != Need::slot) {
        return "needs no slot, but waits although a node takes requests";
    }
    const auto looked_at = line_alarms_.of({Need::slot, profile.model_key});
    if (!looked_at || *looked_at > now + look_again_most) {
        return "waits in a line that nobody will look at soon";
    }
    const auto why = explain_as(profile, now, true, 1).decision;
    return !why.chosen && why.note.empty() ? "waits, and explain() does not say why" : "";
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
        if (auto wrong = check_waiter(waiter, now); !wrong.empty()) {
            return "ticket " + std::to_string(ticket) + " " + wrong;
        }
    }
    if (in_lines != waiting_.size() || settling != settling_ || alarms_.size() != waiting_.size()) {
        return "lines, alarms and waiting tickets do not match";
    }
    return check_leases();
}

} // namespace herd::fleet
