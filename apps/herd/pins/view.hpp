#pragma once
// What is said of pins: /herd/v1/pins, and /fleet/pin and /dashboard/api/pinned-models in the shapes that users of Ollama
// Herd know. Pure.
// Source: reference/parity.md 2.3, 2.5.
#include "herd/pins/plan.hpp"
#include "herd/policy/policy_rows.hpp"

#include <string>
#include <vector>

namespace herd::app::pins {

/// How pins stand at one time.
struct Standing {
    struct Row {
        ConfiguredPin pin{};
        std::string node{};    ///< its name, where the pin names one that is known
        std::string node_id{};
        bool managed{false};   ///< made at run time
    };
    std::vector<Row> pins{};
    std::vector<Entry> entries{};
    base::Instant now{};
    base::WallTime wall{};
    std::size_t places{0}; ///< models that all nodes together keep in memory
};

[[nodiscard]] std::string pins_json(const Standing& standing);
/// {"ok":true,"model","pinned_node","per_node"}; with `waited_ms` not below 0 also "ready" and "ready_after_ms".
[[nodiscard]] std::string fleet_pin_json(const Standing& standing, const std::string& model, const std::string& node, bool ready, std::int64_t waited_ms);
[[nodiscard]] std::string fleet_unpin_json(const Standing& standing, const std::string& model, const std::vector<std::string>& from);
[[nodiscard]] std::string pinned_models_json(const Standing& standing);
/// {"ok":true,"per_node"}.
[[nodiscard]] std::string pinned_models_changed_json(const Standing& standing);
/// An error of ours with "ok": false in front.
[[nodiscard]] std::string not_ok(const std::string& error_body);

/// The entry of that model that stands best; `node`: at that one only, by name or id; empty: anywhere. Null: none.
[[nodiscard]] const Entry* find(const Standing& standing, const std::string& model, const std::string& node);

} // namespace herd::app::pins
