#pragma once
// Our policy: the real fleet library, told what the app tells it (announcements, documents, ends of attempts with
// the timings the node reported) and obeyed as the app obeys it. Nothing of the model's truth passes through here.
#include "policy.hpp"

namespace herd::replay {

[[nodiscard]] PolicyPtr herd_fleet(Host& host);

} // namespace herd::replay
