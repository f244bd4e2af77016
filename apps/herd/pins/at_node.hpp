#pragma once
// What a node has of a model, and how it is asked to bring it into memory. Pure.
#include "herd/pins/plan.hpp"

#include <string>
#include <string_view>

namespace herd::app::pins {

/// Only Ollamas of this LAN have models in a memory that is ours to fill.
[[nodiscard]] bool fills_memory(const fleet::NodeView& node);
/// A person lets it do that.
[[nodiscard]] bool allows(const fleet::NodeView& node, bool embeds);
/// It turns texts into vectors, and does nothing else: by its row in /api/tags as the node wrote it, else by its name.
[[nodiscard]] bool embeds(const fleet::Model& model);
/// Null: not there.
[[nodiscard]] const fleet::Model* on_disk(const fleet::NodeView& node, const std::string& key);
[[nodiscard]] const fleet::LoadedModel* in_memory(const fleet::NodeView& node, const std::string& key);
[[nodiscard]] Request request_of(const fleet::NodeView& node, const fleet::Model& model);

} // namespace herd::app::pins
