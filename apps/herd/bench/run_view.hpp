#pragma once
// A benchmark as JSON: how far it is, and what came of it. Pure.
// Source: reference/parity.md 2.13.
#include "herd/bench/plan.hpp"
#include "herd/bench/tally.hpp"

#include <string>
#include <utility>
#include <vector>

namespace herd::app::bench {

enum class Status : std::uint8_t { idle, pulling, warming_up, running, complete, error, cancelled };
[[nodiscard]] std::string_view to_string(Status status);
[[nodiscard]] inline bool is_over(Status status) { return status == Status::idle || status >= Status::complete; }

/// One benchmark, from its start on.
struct Run {
    std::string id{};
    base::WallTime at{};
    Wish wish{};
    Status status{Status::idle};
    std::string phase{"idle"};
    std::string error{};
    std::string version{};
    std::string policy{};
    std::string fleet{};                                       ///< fleet_json() of the start
    std::vector<Target> targets{};
    std::vector<std::string> pulled{};
    std::string pulling{};                                     ///< now; empty: nothing
    int percent{0};
    std::vector<std::pair<std::string, std::string>> skipped{};///< model, and why its warm-up failed
    base::Duration elapsed{};                                  ///< of the load alone
    Tally tally{};
};

/// {nodes[], models[]}: the fleet as it stands, with models only where they could be measured.
[[nodiscard]] std::string fleet_json(const fleet::Snapshot& snapshot);
[[nodiscard]] std::string started_json(const Run& run);
[[nodiscard]] std::string progress_json(const Run& run);
/// `end`: what it is when this is told.
[[nodiscard]] std::string run_json(const Run& run, Status end);

} // namespace herd::app::bench
