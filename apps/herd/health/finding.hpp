#pragma once
// What a health check says: findings, each about one subject (a node, a model, or the whole), and the report
// that collects them. Plain values.
#include "base/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace herd::app::health {

enum class Severity : std::uint8_t { ok, info, warning, critical };
[[nodiscard]] std::string_view to_string(Severity severity);

/// One number or word behind a finding, for programs: {"used_gb", 12.5}; or several: names, counts by name, rows.
using Plain = std::variant<bool, std::int64_t, double, std::string>;
using Row = std::vector<std::pair<std::string, Plain>>;
using Names = std::vector<std::string>;
using CountsByName = std::map<std::string, std::int64_t>;
using Datum = std::pair<std::string, std::variant<bool, std::int64_t, double, std::string, Names, CountsByName, std::vector<Row>>>;

struct Finding {
    Severity severity{Severity::warning};
    std::string summary{}; ///< what was seen, with numbers, one sentence without a full stop
    std::string advice{};  ///< the exact setting or command; empty: the check's general one
    std::string node{};    ///< display name; empty: not about one node
    std::string model{};   ///< display name; empty: not about one model
    /// Other nodes it concerns, when it is not about one alone.
    std::vector<std::string> nodes{};
    std::vector<Datum> data{};
    /// Over, or only worth knowing: shown as info, costs no points.
    bool resolved{false};
    bool activity{false};
    base::WallTime first{}; ///< set by the ledger
    base::WallTime last{};

    [[nodiscard]] bool costs() const { return !resolved && !activity; }
};

/// Everything found by one check at one time. No findings: ok.
struct CheckResult {
    std::string_view id{};     ///< of the registry, which outlives every report
    std::string_view title{};
    std::string_view advice{}; ///< general
    std::vector<Finding> findings{}; ///< worst first
    [[nodiscard]] Severity severity() const;
};

/// What /dashboard/api/health calls vitals, beside the counts of nodes: the last 24 h.
struct Vitals {
    std::uint64_t requests{0};
    std::uint64_t retries{0};
    std::uint64_t cold_loads{0};
    std::uint64_t disconnects{0};
    std::uint64_t incomplete{0};
    std::uint64_t images{0};         ///< made
    std::uint64_t transcriptions{0}; ///< made
    double error_rate_percent{0};
    double ttft_ms{0}; ///< mean; meaningful when ttft_known
    bool ttft_known{false};
    int nodes_total{0};
    int nodes_online{0};
    int nodes_degraded{0};
    int nodes_offline{0};
};

/// Immutable once made; shared with whoever shows it.
struct Report {
    int score{100};                   ///< 0…100
    base::WallTime at{};
    std::vector<CheckResult> checks{}; ///< every check of the registry, worst first
    Vitals vitals{};
};

} // namespace herd::app::health
