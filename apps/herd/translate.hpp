#pragma once
// Discovery and fleet are neighbours and do not see each other; what passes between them passes here, as a
// value. Pure.
#include "discovery/herd_side.hpp"
#include "discovery/node_document.hpp"
#include "fleet/event.hpp"

namespace herd::app {

/// NodeSeen of an announcement, NodeLeft of a LEAVE.
[[nodiscard]] fleet::Event event_of(const discovery::Sighting& sighting);
[[nodiscard]] fleet::NodeFacts facts_of(const discovery::NodeDocument& document);

} // namespace herd::app
