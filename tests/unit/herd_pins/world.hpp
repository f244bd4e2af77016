#pragma once
// A small fleet with models on disk and in memory, as wished.
#include "fleet/model_name.hpp"
#include "herd/pins/plan.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <string>

namespace herd::test {

using namespace std::chrono_literals;
using namespace app::pins;

inline std::string key_of(const std::string& model) { return fleet::ModelName::parse(model).key; }

/// Nodes n1, n2 … online, on the CPU, with 100 GiB.
struct World {
    explicit World(int nodes)
    {
        for (int i = 1; i <= nodes; ++i) {
            auto facts = std::make_shared<fleet::NodeFacts>();
            facts->agent_version = "herd-node 0.1.0";
            facts->host = {.cores = 8, .memory_total = 100 * base::gib, .memory_available = 50 * base::gib};
            fleet::NodeView view;
            view.id.bytes[0] = static_cast<std::uint8_t>(i);
            view.name = "n" + std::to_string(i);
            view.state = fleet::NodeState::online;
            view.facts = facts;
            fleet.nodes.push_back(view);
        }
    }
    fleet::NodeView& node(int n) { return fleet.nodes[static_cast<std::size_t>(n - 1)]; }
    template <class Change>
    void facts(int n, Change change)
    {
        auto fresh = std::make_shared<fleet::NodeFacts>(*node(n).facts);
        change(*fresh);
        node(n).facts = fresh;
    }
    void has(int n, const std::string& name, base::Bytes size = base::gib, const std::string& row = "{}")
    {
        facts(n, [&](auto& f) { f.models.push_back({.name = name, .key = key_of(name), .size = size, .row = row}); });
        fleet.models[key_of(name)].push_back({.node = static_cast<std::size_t>(n - 1), .model = node(n).facts->models.size() - 1, .tool = fleet::tool_of(row)});
    }
    void load(int n, const std::string& name, const std::string& expires = "2318-01-01T00:00:00Z", base::Bytes size = base::gib)
    {
        unload(n, name);
        facts(n, [&](auto& f) { f.loaded.push_back({.name = name, .key = key_of(name), .size = size, .expires_at = expires}); });
    }
    void unload(int n, const std::string& name)
    {
        facts(n, [&](auto& f) { std::erase_if(f.loaded, [&](const auto& each) { return each.key == key_of(name); }); });
    }
    /// "n1:m n2:m": what is asked for, in order.
    std::string step()
    {
        sent = plan.step(fleet, now, wall);
        std::string text;
        for (const Request& each : sent) {
            text += (text.empty() ? "" : " ") + each.node_name + ":" + each.model + (each.lets_go ? "(let go)" : "");
        }
        return text;
    }
    /// The first of the last step() ended well: the node shows it.
    void loaded()
    {
        REQUIRE_FALSE(sent.empty());
        load(sent.front().node.bytes[0], sent.front().model);
        plan.ended(sent.front(), "", now);
    }
    void broke(const std::string& why)
    {
        REQUIRE_FALSE(sent.empty());
        plan.ended(sent.front(), why, now);
    }
    Entry entry(const std::string& model, const std::string& node_name = "")
    {
        const auto found = std::ranges::find_if(plan.entries(), [&](const Entry& each) {
            return each.key == key_of(model) && (node_name.empty() || each.node_name == node_name);
        });
        REQUIRE(found != plan.entries().end());
        return *found;
    }

    fleet::Snapshot fleet{};
    base::Instant now{std::chrono::hours{1000}};
    base::WallTime wall{std::chrono::seconds{1'780'000'000}}; // May 2026
    Plan plan{base::Rng(1), {.jitter = 0}};
    std::vector<Request> sent{};
};

} // namespace herd::test
