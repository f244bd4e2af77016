#pragma once
// What a person decided about the choice of a node, beside what the client asks for: whom a frontend has, how it
// chooses among them, and what a node may be used for. Plain values, compiled once per configuration; one Rules
// serves all requests of its frontend.
// Source: reference/parity.md 3.2, 3.3, 3.5, 3.6, 3.7.
#include "base/ids.hpp"
#include "base/time.hpp"
#include "fleet/model_pattern.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::fleet {

/// Lower case, sorted, without doubles.
[[nodiscard]] std::vector<std::string> normalized_labels(const std::vector<std::string>& a,
                                                         const std::vector<std::string>& b);

/// How one of several nodes that could serve a request is chosen.
enum class Policy : std::uint8_t {
    cost,        ///< where it is predicted to end soonest
    round_robin, ///< in turn
    random,
    least_busy,  ///< where the fewest requests run
};
[[nodiscard]] std::string_view to_string(Policy policy);

/// The nodes of a frontend. Names compare regardless of case.
class Members {
public:
    Members() = default;
    /// `nodes`: names or ids; nothing: all. `labels`: a member carries all of them.
    Members(const std::optional<std::vector<std::string>>& nodes, const std::vector<std::string>& labels);

    /// `labels`: lower case, sorted.
    [[nodiscard]] bool admits(const base::NodeId& id, std::string_view name, const std::vector<std::string>& labels) const;
    [[nodiscard]] bool all() const { return !limited_ && labels_.empty() && only_.empty(); }
    /// Of these only that one, if it is among them. `node`: a name or id.
    void narrow_to(const std::string& node);

private:
    bool limited_{false};
    std::vector<base::NodeId> ids_{};
    std::vector<std::string> names_{};  ///< lower case, sorted
    std::vector<std::string> labels_{}; ///< lower case, sorted
    std::string only_{};                ///< lower case name
    std::optional<base::NodeId> only_id_{};
};

struct Rules {
    std::string frontend{}; ///< whose turns are counted, whose conversations are remembered
    Members members{};
    Policy policy{Policy::cost};
    base::Duration sticky_ttl{}; ///< 0: conversations are not bound to a node
};

inline constexpr int tier_max = 9;

/// What a person set for one node.
struct NodeSettings {
    std::vector<std::string> labels{}; ///< added to the node's own
    double weight{1};                  ///< 2: worth twice as many requests as its like
    bool allow_embeddings{true};
    bool allow_completions{true};
    bool active{true};                 ///< false: as if drained, because it is switched off
    int max_parallel{0};               ///< requests at a time over all models; 0: as its slots allow
    std::optional<int> queue_limit{};  ///< more than so many do not wait for it
    int tier{0};                       ///< 0…tier_max: serves what no node of a lower one can
    std::vector<ModelPattern> models_allow{}; ///< serves these models only; none: all it has
    [[nodiscard]] bool allows(std::string_view model_key) const { return models_allow.empty() || fits_any(models_allow, model_key); }
    bool operator==(const NodeSettings&) const = default;
};
/// A cloud comes after all tiers of this LAN, whatever is set for it.
[[nodiscard]] inline int tier_of(bool cloud, const NodeSettings* settings)
{
    return cloud ? tier_max + 1 : settings != nullptr ? settings->tier : 0;
}

/// By node name or id.
using SettingsOf = std::vector<std::pair<std::string, NodeSettings>>;

} // namespace herd::fleet
