#include "herd/sync/asked.hpp"

#include "fleet/hardware.hpp"
#include "fleet/model_name.hpp"
#include "proxy/model_ops.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace herd::app::sync {

namespace {

/// All that a model can be in; 0: the node does not tell.
base::Bytes memory_of(const fleet::NodeView& node)
{
    const auto hardware = node.facts ? fleet::hardware_of(*node.facts) : fleet::Hardware{};
    return hardware.unified ? std::max(hardware.vram_total, hardware.ram_total) : hardware.vram_total + hardware.ram_total;
}

std::string frontend_of(const proxy::WantedModel& wanted) { return wanted.wishes.rules ? wanted.wishes.rules->frontend : std::string{}; }

} // namespace

/// Why such a node does not pull it, though it may serve the request; empty: it can.
std::string Asked::unfit(const fleet::NodeView& node, const proxy::WantedModel& wanted) const
{
    if (pending_.contains({wanted.key, node.id})) {
        return {}; // it is on its way there, and takes of that room already
    }
    if (!node.allows(wanted.key)) {
        return fmt::format("{} may not serve it (models_allow)", node.name);
    }
    if (node.settings && !(wanted.generates ? node.settings->allow_completions : node.settings->allow_embeddings)) {
        return fmt::format("{} is not used for {}", node.name, wanted.generates ? "completions" : "embeddings");
    }
    const base::Bytes memory = memory_of(node);
    if (const base::Bytes size = size_of(*wanted.seen, wanted.key); memory != 0 && size > memory) {
        return fmt::format("{} has less memory than the model takes", node.name);
    }
    auto why = no_room(node, wanted.key, *wanted.seen, limits_.pulls.room_left);
    return why.empty() ? why : fmt::format("{} has {}", node.name, why);
}

/// Nothing: none can, and `why` one of them cannot.
const fleet::NodeView* Asked::choose(const proxy::WantedModel& wanted, const proxy::PullMemory& pulls, const std::vector<fleet::NodeId>& exclude, std::string& why) const
{
    const auto fits = [&](const fleet::NodeView& node) {
        auto reason = unfit(node, wanted);
        const bool fit = reason.empty();
        why = fit ? std::move(why) : std::move(reason);
        return fit;
    };
    const auto chosen = proxy::choose_pull_node(*wanted.seen, pulls, wanted.key, wanted.wishes, exclude, fits);
    return chosen.is_nil() ? nullptr : wanted.seen->find(chosen);
}

base::Result<Asked::Pair> Asked::ask(const proxy::WantedModel& wanted, const proxy::PullMemory& pulls, base::Instant now)
{
    const auto failed = failures_.find({wanted.key, frontend_of(wanted)});
    const bool failed_lately = failed != failures_.end() && now < failed->second.next_try;
    auto exclude = wanted.exclude;
    if (failed_lately) {
        std::ranges::copy_if(failed->second.tried, std::back_inserter(exclude), [&](const auto& node) { return !pending_.contains({wanted.key, node}); });
    }
    const auto not_yet = [&] {
        const auto left = std::chrono::ceil<std::chrono::seconds>(failed->second.next_try - now).count();
        return base::fail(base::Errc::no_such_model, fmt::format("{}; it is tried again in {} s at the earliest", failed->second.reason, left));
    };
    std::string why;
    const fleet::NodeView* node = choose(wanted, pulls, exclude, why);
    if (node == nullptr && failed_lately && choose(wanted, pulls, wanted.exclude, why) != nullptr) {
        return not_yet();
    }
    if (node == nullptr) {
        return base::fail(base::Errc::no_such_model, why.empty() ? why : "no node can pull it: " + why);
    }
    const Pair pair{wanted.key, node->id};
    if (pending_.contains(pair)) {
        return pair;
    }
    if (failed_lately && failed->second.tried.size() >= limits_.nodes) {
        return not_yet();
    }
    if (pending_.size() >= limits_.at_once + limits_.waiting) {
        return base::fail(base::Errc::queue_full, "too many models are being pulled already");
    }
    if (failed != failures_.end() && !failed_lately) {
        failed->second.tried.clear(); // from the beginning
    }
    pending_[pair] = {.pull = {node->id, node->name, wanted.key, wanted.model, node->address}, .frontend = frontend_of(wanted), .turn = ++last_turn_};
    return pair;
}

std::vector<Pull> Asked::start()
{
    std::vector<Pending*> waiting;
    for (auto& [pair, each] : pending_) {
        if (!each.running) {
            waiting.push_back(&each);
        }
    }
    std::ranges::sort(waiting, {}, &Pending::turn);
    const std::size_t running = pending_.size() - waiting.size();
    waiting.resize(std::min(waiting.size(), limits_.at_once - std::min(limits_.at_once, running)));
    std::vector<Pull> out;
    for (Pending* each : waiting) {
        each->running = true;
        out.push_back(each->pull);
    }
    return out;
}

/// What nobody asked for again in all the time that it waited and an hour more is forgotten; then what may soonest be tried.
void Asked::make_room(base::Instant now)
{
    std::erase_if(failures_, [&](const auto& each) { return each.second.next_try + limits_.pulls.last_retry < now; });
    if (failures_.size() >= limits_.failures) {
        failures_.erase(std::ranges::min_element(failures_, {}, [](const auto& each) { return each.second.next_try; }));
    }
}

std::string Asked::ended(const Pair& pair, const std::string& error, base::Instant now)
{
    const auto found = pending_.find(pair);
    if (found == pending_.end()) {
        return {};
    }
    const Pending was = std::move(found->second);
    pending_.erase(found);
    const std::pair which{pair.first, was.frontend};
    if (error.empty()) {
        failures_.erase(which);
        return {};
    }
    make_room(now);
    Failure& failure = failures_[which];
    failure.failures += failure.tried.empty() ? 1 : 0; // of all nodes together
    failure.tried.push_back(was.pull.node);
    failure.model = was.pull.model;
    failure.reason = fmt::format("pulling it to {} failed: {}", was.pull.node_name, error);
    failure.next_try = now + wait_after(failure.failures, limits_.pulls, rng_);
    return failure.reason;
}

void Asked::retry(std::string_view model)
{
    const std::string key = fleet::ModelName::parse(model).key;
    for (auto& [which, failure] : failures_) {
        if (model.empty() || which.first == key) {
            failure.next_try = {};
        }
    }
}

} // namespace herd::app::sync
