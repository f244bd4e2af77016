#pragma once
// From runs to figures, and from figures to tables: for people (Markdown) and for programs (JSON).
#include "replay.hpp"

#include <string>
#include <vector>

namespace herd::replay {

struct Spread {
    double mean{0};
    double p50{0};
    double p95{0};
    double p99{0};
};

/// Of one policy in one row; the mean over the seeds.
struct Figures {
    Spread ttft{};            ///< seconds from asking to the first token
    Spread whole{};           ///< to the last
    double hit{0};            ///< share of prompt tokens found in caches
    double loads{0};
    double reloads{0};
    double jain{0};           ///< of the clients' mean TTFT: 1 is equal
    double failed{0};         ///< requests
    double cut{0};            ///< of these: the node died while it answered; no policy could have helped
    double requests{0};
    double minutes{0};        ///< until the last one ended
    double growth{0};         ///< mean TTFT of the last quarter over that of the second: well above 1, a queue grows
    double micros{0};         ///< of real time a request took in the replay: policy and model together
    std::vector<double> ttft_means{};   ///< by seed
};

struct Line {
    std::string policy{};
    bool is_ours{false};
    bool is_oracle{false};
    Figures figures{};
};
struct RowReport {
    std::string row{};
    std::string title{};
    std::string alone{};
    int seeds{0};
    std::vector<Line> lines{};
};

[[nodiscard]] Figures figures_of(const Workload& workload, const Run& run);
[[nodiscard]] Figures mean_of(const std::vector<Figures>& all);
[[nodiscard]] std::string markdown(const std::vector<RowReport>& reports);
[[nodiscard]] std::string json(const std::vector<RowReport>& reports);
/// What was expected of us and is not so: against the best baseline within 5 %, against the oracle, and what single rows
/// are there for. Empty: all of it holds.
[[nodiscard]] std::vector<std::string> disappointments(const std::vector<RowReport>& reports);
/// Puts `text` between the marks in that file. False: no marks there, or it cannot be written.
[[nodiscard]] bool update_file(const std::string& path, const std::string& text);

} // namespace herd::replay
