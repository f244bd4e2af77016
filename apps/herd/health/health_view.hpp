#pragma once
// A health report as JSON: our own shape and Ollama Herd's. Pure.
// Source: design/contract.md 3, reference/parity.md 2.4.
#include "herd/health/finding.hpp"

#include <string>

namespace herd::app::health {

/// GET /herd/v1/health.
[[nodiscard]] std::string report_json(const Report& report);
/// GET /dashboard/api/health.
[[nodiscard]] std::string recommendations_json(const Report& report);
/// The `health` event: {"score", "checks":[those that are not ok]}.
[[nodiscard]] std::string event_json(const Report& report);

} // namespace herd::app::health
