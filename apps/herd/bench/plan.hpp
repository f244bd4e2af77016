#pragma once
// Which models a benchmark measures, and with how many requests at a time. Nothing that runs in a cloud: that would cost
// somebody money. Pure.
#include "fleet/snapshot.hpp"
#include "herd/bench/wish.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace herd::app::bench {

struct Target {
    std::string key{};   ///< ModelName::key
    std::string model{}; ///< display name, which is asked for
    Type type{Type::llm};
    bool tool{false};   ///< beside a node, none of Ollama's
    bool native{true};  ///< an Ollama has it; else only servers that speak /v1 do
};

struct Plan {
    std::vector<Target> targets{}; ///< by name
    std::size_t nodes{0};          ///< that have one of them
    /// Workers of each model: eight for every node, shared among the models; 1 to 6.
    [[nodiscard]] std::size_t workers_each() const;
};

[[nodiscard]] Plan make_plan(const fleet::Snapshot& snapshot, const Wish& wish);
/// Those of the wish that no node has which takes requests and may serve them.
[[nodiscard]] std::vector<std::string> missing(const fleet::Snapshot& snapshot, const Wish& wish);
/// Why a plan has no targets, one sentence.
[[nodiscard]] std::string why_none(const fleet::Snapshot& snapshot, const Wish& wish);

} // namespace herd::app::bench
