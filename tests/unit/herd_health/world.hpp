#pragma once
// A small fleet for health checks: nodes and models as wished, time as wished.
#include "fleet/model_name.hpp"
#include "herd/health/registry.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <functional>
#include <string>

namespace herd::test {

using namespace std::chrono_literals;
using namespace app::health;

inline base::NodeId id_of(int n)
{
    return *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-7086772895" + std::string{static_cast<char>('0' + n / 10), static_cast<char>('0' + n % 10)});
}

struct World {
    base::Instant now{std::chrono::hours{1000}};
    fleet::Snapshot fleet{};
    History history{};
    Own own{.version = "0.1.0", .discovery = true};

    /// Node n<number>, online, with an agent, 64 GiB and nothing loaded.
    fleet::NodeView& node(int number)
    {
        const std::string name = "n" + std::to_string(number);
        const auto found = std::ranges::find(fleet.nodes, name, &fleet::NodeView::name);
        if (found != fleet.nodes.end()) {
            return *found;
        }
        auto facts = std::make_shared<fleet::NodeFacts>();
        facts->boot_id = 1;
        facts->announced = fleet::AnnouncedState::ready;
        facts->agent_version = "herd-node 0.1.0";
        facts->ollama_version = "0.33.0";
        facts->host = {.cores = 8, .memory_total = 64 * base::gib, .memory_available = 20 * base::gib};
        fleet::NodeView view;
        view.id = id_of(number);
        view.name = name;
        view.state = fleet::NodeState::online;
        view.last_seen = now;
        view.agent = *base::Endpoint::parse("10.0.0.7:11436");
        view.facts = facts;
        fleet.nodes.push_back(view);
        return fleet.nodes.back();
    }
    /// Changes a node's facts.
    void facts(int number, const std::function<void(fleet::NodeFacts&)>& change)
    {
        auto& view = node(number);
        auto fresh = std::make_shared<fleet::NodeFacts>(*view.facts);
        change(*fresh);
        view.facts = fresh;
    }
    void load(int number, const std::string& name, int context, base::Bytes size = base::gib, base::Bytes in_vram = base::gib)
    {
        facts(number, [&](fleet::NodeFacts& f) {
            const auto key = fleet::ModelName::parse(name).key;
            std::erase_if(f.loaded, [&](const auto& each) { return each.key == key; });
            f.loaded.push_back({.name = name, .key = key, .digest = "d", .size = size, .size_vram = in_vram, .context_length = context});
        });
    }
    /// Time passes, and herd looks.
    void pass(base::Duration by, base::Duration step = 2s)
    {
        for (base::Duration done{0}; done < by; done += step) {
            now += std::min(step, by - done);
            history.see(fleet, now);
        }
    }
    void see() { history.see(fleet, now); }
    void request(Finished exchange, int times = 1)
    {
        if (exchange.attempts.empty() && !exchange.node.empty()) {
            exchange.attempts.push_back({exchange.node, fleet::Result::served});
        }
        for (int i = 0; i < times; ++i) {
            history.finished(exchange, now);
        }
    }
    [[nodiscard]] Evidence evidence() const { return {now, fleet, history, own}; }
    /// What the check of that id finds now.
    [[nodiscard]] Findings look(std::string_view id) const
    {
        const auto all = registry();
        const auto check = std::ranges::find(all, id, &Check::id);
        REQUIRE(check != all.end());
        Findings found;
        check->look(evidence(), found);
        for (const Finding& each : found) {
            CHECK_FALSE(each.summary.empty());
        }
        return found;
    }
    [[nodiscard]] bool quiet(std::string_view id) const { return look(id).empty(); }
    /// The only finding of a check.
    [[nodiscard]] Finding one(std::string_view id) const
    {
        const auto found = look(id);
        REQUIRE(found.size() == 1);
        return found.front();
    }
};

/// One of a finding's data; its name empty when there is none of that name.
inline Datum datum(const Finding& finding, std::string_view key)
{
    const auto found = std::ranges::find(finding.data, key, &Datum::first);
    return found == finding.data.end() ? Datum{} : *found;
}

inline Finished served(std::string node = "n1", std::string model = "m:1b")
{
    Finished exchange;
    exchange.node = std::move(node);
    exchange.model = std::move(model);
    exchange.status = 200;
    exchange.timings = {.eval = 1s, .prompt_tokens = 50, .output_tokens = 50};
    exchange.first_byte = 100ms;
    exchange.total = 1s;
    return exchange;
}

} // namespace herd::test
