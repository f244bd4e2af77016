#include "herd/health/history.hpp"

#include "fleet/model_name.hpp"

#include <algorithm>
#include <ranges>

namespace herd::app::health {

namespace {

constexpr base::Duration queue_step = std::chrono::seconds{2};
constexpr std::size_t queue_samples = 120;
constexpr base::Duration forget_after = std::chrono::hours{25};
constexpr base::Duration context_memory = std::chrono::minutes{10};
constexpr base::Duration report_age_max = std::chrono::seconds{5};
constexpr base::Duration swap_step = std::chrono::minutes{1};
constexpr double gpu_works = 0.5;

template <class T>
void push_bounded(std::deque<T>& into, T value, std::size_t most)
{
    into.push_back(std::move(value));
    while (into.size() > most) {
        into.pop_front();
    }
}

std::int64_t hour_of(base::Instant now) { return std::chrono::floor<std::chrono::hours>(now.time_since_epoch()).count(); }

float median_of(std::vector<float> values)
{
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

} // namespace

bool said_goodbye(const fleet::NodeView& view)
{
    return view.state == fleet::NodeState::offline && view.state_reason.starts_with("left");
}

// ------------------------------------------------------------------------------------------------- pace

void Pace::close_hour()
{
    if (hour_.size() >= 5) {
        push_bounded(past_, {hour_stamp_, median_of(hour_)}, 168);
    }
    hour_.clear();
}

void Pace::add(base::Instant now, double tokens_per_s)
{
    if (const auto stamp = hour_of(now); stamp != hour_stamp_) {
        close_hour();
        hour_stamp_ = stamp;
    }
    const auto rate = static_cast<float>(tokens_per_s);
    if (hour_.size() < 256) {
        hour_.push_back(rate);
    }
    push_bounded(recent_, {now, rate}, 32);
}

std::optional<double> Pace::recent(base::Instant now) const
{
    std::vector<float> rates;
    for (const Sample& sample : recent_) {
        if (now - sample.at <= std::chrono::minutes{30}) {
            rates.push_back(sample.rate);
        }
    }
    return rates.size() < enough ? std::nullopt : std::optional{double{median_of(std::move(rates))}};
}

std::optional<double> Pace::usual(base::Instant now) const
{
    std::vector<float> medians;
    const auto hour = hour_of(now);
    for (const Hour& past : past_) {
        if (past.stamp < hour - 1 && past.stamp >= hour - 168) {
            medians.push_back(past.median);
        }
    }
    return medians.empty() ? std::nullopt : std::optional{double{median_of(std::move(medians))}};
}

// ------------------------------------------------------------------------------------------------- snapshots

const NodeMemory* History::find(const base::NodeId& id) const
{
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? nullptr : &found->second;
}

void History::see(const fleet::Snapshot& snapshot, base::Instant now)
{
    for (const fleet::NodeView& view : snapshot.nodes) {
        NodeMemory& memory = nodes_[view.id];
        memory.name = view.name;
        see_state(memory, view, now);
        see_load(memory, view, now);
        if (memory.facts != view.facts) {
            memory.facts = view.facts;
            see_models(view, now);
        }
    }
    if (nodes_.size() > snapshot.nodes.size()) {
        std::erase_if(nodes_, [&](const auto& entry) { return snapshot.find(entry.first) == nullptr; });
    }
    if (!std::ranges::any_of(snapshot.nodes, &fleet::NodeView::takes_requests)) {
        nobody_since_ = nobody_since_.value_or(now);
    } else {
        nobody_since_.reset();
    }
    if (queue_.empty() || now - queue_.back().at >= queue_step) {
        push_bounded(queue_, {now, snapshot.totals.queued}, queue_samples);
    }
    if (now - swept_at_ > std::chrono::hours{1}) {
        sweep(now);
    }
}

void History::see_state(NodeMemory& memory, const fleet::NodeView& view, base::Instant now)
{
    using enum fleet::NodeState;
    const bool down = view.facts && view.facts->announced == fleet::AnnouncedState::backend_down
        && (view.state == suspect || view.state == unknown);
    if (down != memory.down_by_itself) {
        memory.down_by_itself = down;
        memory.down_since = now;
    }
    if (memory.state_since == base::Instant{}) {
        memory.state = view.state;
        memory.state_since = now;
        memory.left = said_goodbye(view);
        return;
    }
    if (view.state == memory.state) {
        return;
    }
    memory.left = said_goodbye(view);
    const bool fell = memory.state == online && (view.state == suspect || view.state == offline || view.state == unreachable);
    if (fell && !memory.left) {
        push_bounded(memory.drops, now, 32);
    }
    memory.state = view.state;
    memory.state_since = now;
}

void History::see_load(NodeMemory& memory, const fleet::NodeView& view, base::Instant now)
{
    if (!view.facts) {
        return;
    }
    const fleet::NodeFacts& facts = *view.facts;
    const bool told = memory.reported && now - memory.reported_at <= report_age_max;
    const int foreign = told && view.takes_requests() ? *memory.reported - view.in_flight : 0;
    if (foreign > 0) {
        memory.foreign = memory.foreign_since ? std::min(memory.foreign, foreign) : foreign;
        memory.foreign_since = memory.foreign_since.value_or(now);
    } else {
        memory.foreign_since.reset();
        memory.foreign = 0;
    }
    const bool gpu_busy = std::ranges::any_of(facts.gpus, [](const fleet::Gpu& gpu) { return gpu.busy.value_or(0) >= gpu_works; });
    if (gpu_busy && view.takes_requests() && view.in_flight == 0 && memory.reported.value_or(0) == 0) {
        memory.busy_since = memory.busy_since.value_or(now);
    } else {
        memory.busy_since.reset();
    }
    if (facts.boot_id != memory.gpu_boot) {
        memory.gpu_boot = facts.boot_id;
        memory.gpus_most = 0;
    }
    memory.gpus_most = std::max(memory.gpus_most, facts.gpus.size());
    if (memory.swap.empty() || now - memory.swap.back().at >= swap_step) {
        push_bounded(memory.swap, {now, facts.host.swap_used}, 11);
    }
}

/// What is in memory there now, against what was.
void History::see_models(const fleet::NodeView& view, base::Instant now)
{
    for (const fleet::LoadedModel& loaded : view.facts->loaded) {
        Pairing* pair = pairing(view.name, loaded.name);
        if (pair == nullptr || loaded.context_length <= 0) {
            continue;
        }
        if (pair->context != 0 && pair->context != loaded.context_length) {
            if (now - pair->context_at <= context_memory) {
                pair->windows.add(now, {.context_reloads = 1});
            }
            pair->context_other = pair->context;
            pair->context_changed = now;
        }
        pair->context = loaded.context_length;
        pair->context_at = now;
        if (loaded.size > 0) {
            const double share = static_cast<double>(loaded.size_vram) / static_cast<double>(loaded.size);
            if (pair->best_context != loaded.context_length || share > pair->best_share) {
                pair->best_context = loaded.context_length;
                pair->best_share = share;
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------- announcements

void History::heard(const Heard& heard, base::Instant now)
{
    const auto found = nodes_.find(heard.id);
    if (found == nodes_.end()) {
        return; // the next snapshot brings it, the next announcement comes soon
    }
    NodeMemory& memory = found->second;
    (heard.over_http ? memory.heard_http : memory.heard_udp) = now;
    if (heard.in_flight) {
        memory.reported = heard.in_flight;
        memory.reported_at = now;
    }
    if (heard.skew) {
        // The way here takes time and may take much; the least of several is nearest to the truth.
        push_bounded(memory.skews, *heard.skew, 5);
        if (memory.skews.size() >= 3) {
            memory.skew = *std::ranges::min_element(memory.skews, {}, [](base::Duration d) { return std::chrono::abs(d); });
        }
    }
    if (heard.boot_id != memory.boot) {
        if (heard.boot_id == memory.boot_before && memory.boot_before != 0) {
            push_bounded(memory.boot_swaps, now, 16);
        }
        memory.boot_before = memory.boot;
        memory.boot = heard.boot_id;
    }
}

void History::late(base::Instant now, base::Duration by) { push_bounded(lateness_, {now, by}, 64); }
void History::records_lost(base::Instant now, std::uint64_t count) { push_bounded(losses_, {now, count}, 64); }

void History::sweep(base::Instant now)
{
    swept_at_ = now;
    std::erase_if(traffic_, [&](const auto& entry) { return now - entry.second.touched > forget_after; });
    std::erase_if(pairings_, [&](const auto& entry) {
        return now - std::max(entry.second.last_end, entry.second.context_at) > 7 * forget_after;
    });
    std::erase_if(fallbacks_, [&](const auto& entry) { return entry.second.day(now).fallbacks == 0; });
}

} // namespace herd::app::health
