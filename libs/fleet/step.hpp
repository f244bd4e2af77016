#pragma once
// One call of Fleet::apply on its way through the room: the time, what came of it for the app (effects), and
// what came of it for the dispatcher (which nodes, models and places changed).
#include "fleet/event.hpp"

#include <string>
#include <utility>
#include <vector>

namespace herd::fleet {

struct Step {
    base::Instant now{};
    base::WallTime wall{};
    Effects& effects;
    std::vector<NodeId> touched{};                          ///< state, labels, slots or name changed, or removed
    std::vector<std::string> models_changed{};              ///< keys that gained or lost a holder
    std::vector<std::pair<NodeId, std::string>> freed{};    ///< a slot became free there, and somebody waits
    std::vector<NodeId> touched_places{};                   ///< more than one model's places changed there

    bool snapshot_changed{false}; ///< told once per step, whatever happened in it
    bool pool_changed{false};

    template <class T>
    void emit(T effect)
    {
        effects.emplace_back(std::move(effect));
    }
    void emit(SnapshotChanged /*effect*/) { snapshot_changed = true; }
    void emit(SavePool /*effect*/) { pool_changed = true; }
};

} // namespace herd::fleet
