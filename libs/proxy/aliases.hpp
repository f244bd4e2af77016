#pragma once
// Names that clients ask for and that stand for a model of the fleet: what [aliases] says, compiled once per
// configuration. Pure.
// Source: reference/parity.md 2.2 (claude-* names), 2.16.
#include "base/error.hpp"
#include "fleet/rules.hpp"
#include "fleet/snapshot.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace herd::proxy {

/// One line of [aliases]. `name` may end with "*": then it is meant of every name without a tag that begins so.
struct Alias {
    std::string name{};
    std::string model{};
    auto operator<=>(const Alias&) const = default;
};

struct AliasConfig {
    std::vector<Alias> list{};
    bool claude_auto{false}; ///< a claude… name that nothing else explains is whatever is best
    bool operator==(const AliasConfig&) const = default;
};

/// What is wrong with such a list as a whole, one sentence; empty: nothing.
[[nodiscard]] std::string alias_fault(const std::vector<Alias>& list);

/// Thread: any; immutable.
class Aliases {
public:
    /// Null when there is nothing to say. Errors: bad_config, as alias_fault.
    [[nodiscard]] static base::Result<std::shared_ptr<const Aliases>> compile(AliasConfig config);

    struct Asked {
        std::string_view text{};  ///< as the client wrote it
        std::string_view key{};   ///< fleet::ModelName::key of it
        bool anthropic{false};    ///< on one of Anthropic's paths, where claude_auto counts
        const fleet::Members* members{nullptr}; ///< nodes that may serve it; null: all
        std::vector<base::NodeId> without{};    ///< nodes known not to have Anthropic's paths
    };
    /// The model it stands for, as it is to be written; nothing: it is a model's own name.
    [[nodiscard]] std::optional<std::string> stands_for(const Asked& asked, const fleet::Snapshot& snapshot) const;

    /// Name and the model that it ends at, through aliases of aliases.
    [[nodiscard]] const std::vector<Alias>& resolved() const { return resolved_; }

private:
    std::unordered_map<std::string, std::string> exact_{};         ///< ModelName::key → model
    std::vector<std::pair<std::string, std::string>> beginnings_{}; ///< lower case, longest first
    std::vector<Alias> resolved_{};
    bool claude_auto_{false};
};

/// The best that could take the place of a model nobody has: it can use tools, is in memory, is the largest; in this
/// order. A model that does not tell what it can do (Ollama before 0.30) comes after all that do. Empty: none.
/// Nodes whose Ollama does not have Anthropic's paths (before 0.14), and those of `without`, do not count.
[[nodiscard]] std::string best_tool_model(const fleet::Snapshot& snapshot, const fleet::Members* members,
                                          const std::vector<base::NodeId>& without = {});

} // namespace herd::proxy
