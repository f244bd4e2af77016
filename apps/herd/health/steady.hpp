#pragma once
// Keeps findings from flapping: one must hold for its check's `raise_after` before it is said, and be gone for
// `clear_after` before it is withdrawn; it grows worse at once and better only after `clear_after`. It also
// remembers when each was seen first and last.
#include "herd/health/registry.hpp"

#include <map>
#include <memory>
#include <string>
#include <tuple>

namespace herd::app::health {

/// Thread: one owner.
class Steady {
public:
    static constexpr std::size_t findings_max = 4096; ///< more are left out, per report

    /// Runs every check, and makes the report of what has held long enough.
    [[nodiscard]] std::shared_ptr<const Report> judge(const Evidence& evidence, base::WallTime wall);
    /// True when the last judge() found another set of (check, subject, severity) than the one before.
    [[nodiscard]] bool changed() const { return changed_; }

private:
    using Subject = std::tuple<std::string_view, std::string, std::string, std::string>; ///< check, node, model, request
    struct Kept {
        Finding finding{};
        base::Instant begun{};    ///< seen without a break since
        base::Instant last{};
        base::Instant last_worse{}; ///< when it was last as bad as it is shown
        bool said{false};
    };
    void take(const Check& check, Findings found, const Evidence& evidence, base::WallTime wall);
    void expire(base::Instant now);

    std::map<Subject, Kept> kept_;
    std::map<Subject, Severity> shown_;
    bool changed_{false};
};

/// max(0, 100 − 20·critical − 10·warning − 3·info) over the findings that cost.
[[nodiscard]] int score_of(const std::vector<CheckResult>& checks);
[[nodiscard]] Vitals vitals_of(const Evidence& evidence);

} // namespace herd::app::health
