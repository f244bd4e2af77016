#include "herd-node/slots.hpp"

#include <algorithm>

namespace herd::node {

namespace {

std::optional<int> slots_of(const RunnerView& view, const Runner& runner)
{
    if (const auto asked = view.slots.find(runner.pid);
        asked != view.slots.end() && asked->second.total > 0) {
        return asked->second.total;
    }
    return runner.slots;
}

const Runner* runner_of(const RunnerView& view, const std::string& digest, std::size_t loaded_count)
{
    if (const auto blob = view.blobs.find(digest); blob != view.blobs.end()) {
        const auto found = std::ranges::find(view.runners, blob->second, &Runner::blob);
        return found == view.runners.end() ? nullptr : &*found;
    }
    return view.runners.size() == 1 && loaded_count == 1 ? &view.runners.front() : nullptr;
}

std::optional<int> common_slots(const RunnerView& view)
{
    if (view.runners.empty()) {
        return std::nullopt;
    }
    const auto first = slots_of(view, view.runners.front());
    const bool same =
        std::ranges::all_of(view.runners, [&](const Runner& r) { return slots_of(view, r) == first; });
    return same ? first : std::nullopt;
}

} // namespace

bool RunnerView::operator==(const RunnerView& other) const
{
    return settings == other.settings && disk == other.disk && runners == other.runners && blobs == other.blobs
        && foreign == other.foreign
        && std::ranges::equal(slots, other.slots, [](const auto& a, const auto& b) {
               return a.first == b.first && a.second.total == b.second.total
                   && a.second.busy == b.second.busy;
           });
}

void assign_slots(std::vector<discovery::LoadedFacts>& loaded, const RunnerView& view,
                  std::optional<int> forced)
{
    for (auto& model : loaded) {
        const Runner* runner = runner_of(view, model.digest, loaded.size());
        model.slots = forced ? forced : runner != nullptr ? slots_of(view, *runner) : common_slots(view);
        model.in_flight.reset();
        if (runner != nullptr) {
            if (const auto asked = view.slots.find(runner->pid); asked != view.slots.end()) {
                model.in_flight = asked->second.busy;
            }
        }
    }
}

std::optional<int> default_slots(const RunnerView& view, std::optional<int> forced)
{
    return forced ? forced : view.settings ? view.settings->num_parallel : std::nullopt;
}

bool needs_blobs(const RunnerView& view)
{
    return view.runners.size() > 1 && (!common_slots(view) || !view.slots.empty());
}

} // namespace herd::node
