#include "herd/scout.hpp"

#include "base/log.hpp"
#include "herd/translate.hpp"
#include "net/timer.hpp"

#include <algorithm>

namespace herd::app {

namespace {
constexpr base::Duration knock_timeout = std::chrono::milliseconds{300};
constexpr base::Duration knock_spacing = std::chrono::milliseconds{80};
constexpr int knocks = 5;
constexpr base::Duration watch_retry = std::chrono::seconds{2};
} // namespace

Scout::Scout(net::Loop& loop, net::Network& network, FleetOwner& fleet, discovery::InquiryOptions inquiry,
             ScoutHooks hooks)
    : loop_(loop), network_(network), fleet_(fleet), hooks_(std::move(hooks)),
      pool_(loop, network, {.idle_per_endpoint = 2, .idle_total = 4096, .connect_timeout = knock_timeout}),
      inquiry_(loop, pool_, std::move(inquiry)), tasks_(loop, "scout")
{
}

void Scout::carry_out(const fleet::Confirm& wanted)
{
    if (!stopping_) {
        tasks_.spawn("confirm", confirm(wanted));
    }
}

void Scout::carry_out(const fleet::Probe& wanted)
{
    if (!stopping_) {
        tasks_.spawn("probe", probe(wanted));
    }
}

void Scout::carry_out(const fleet::PollStatic& wanted)
{
    if (!stopping_) {
        tasks_.spawn("poll", poll(wanted));
    }
}

void Scout::carry_out(const fleet::Watch& wanted)
{
    if (stopping_) {
        return;
    }
    carry_out(fleet::Unwatch{wanted.id});
    const auto current = std::make_shared<Canary>();
    watches_[wanted.id] = current;
    tasks_.spawn("watch", watch(wanted, current));
}

void Scout::carry_out(const fleet::Unwatch& wanted)
{
    if (const auto found = watches_.find(wanted.id); found != watches_.end()) {
        found->second->wanted = false;
        if (found->second->close) {
            found->second->close();
        }
        watches_.erase(found);
    }
}

} // namespace herd::app
