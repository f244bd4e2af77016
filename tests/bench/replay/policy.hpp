#pragma once
// The seam between who decides and who is decided for. A policy hears of requests, ends and nodes that come and
// go; it sends requests to nodes. What it may know is what a router could know; the truth is the oracle's alone.
#include "agenda.hpp"
#include "node_model.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace herd::replay {

/// What the replay offers a policy.
class Host {
public:
    Host() = default;
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;
    virtual ~Host() = default;

    [[nodiscard]] virtual const Workload& workload() const = 0;
    [[nodiscard]] virtual Agenda& agenda() = 0;
    /// An attempt begins: the node has it from now on.
    virtual void send(int request, int node) = 0;
    /// The request has failed for good.
    virtual void refuse(int request, const std::string& reason) = 0;
    [[nodiscard]] virtual NodeModel& node(int index) = 0;
    [[nodiscard]] virtual bool finished() const = 0; ///< nothing more will come: periodic work may end
    [[nodiscard]] virtual std::uint64_t seed() const = 0;
    [[nodiscard]] double now() { return agenda().now(); }
    [[nodiscard]] const Request& request(int index) const
    {
        return workload().requests[static_cast<std::size_t>(index)];
    }
    [[nodiscard]] int nodes() const { return static_cast<int>(workload().nodes.size()); }
};

class Policy {
public:
    Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;
    virtual ~Policy() = default;

    /// Wants a place. `tried`: nodes where it failed already, the newest last. Answered by send() or refuse(), now or later.
    virtual void arrive(int request, const std::vector<int>& tried) = 0;
    /// An attempt has ended.
    virtual void ended(int request, int node, const Ended& ended) = 0;
    /// A node was killed or started; told at once, though a router learns it later.
    virtual void node_changed(int node) = 0;
    /// A node loaded or unloaded something; told at once, though a router learns it later.
    virtual void memory_changed(int node) = 0;
    /// A promise that does not hold, or nothing.
    [[nodiscard]] virtual std::string check() { return {}; }
};

using PolicyPtr = std::unique_ptr<Policy>;
using PolicyMaker = std::function<PolicyPtr(Host&)>;

struct PolicyKind {
    std::string name{};
    PolicyMaker make{};
    bool is_ours{false};
    bool is_oracle{false};
};
/// Ours first, the oracle last.
[[nodiscard]] const std::vector<PolicyKind>& policies();

} // namespace herd::replay
