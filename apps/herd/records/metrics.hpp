#pragma once
// What Prometheus reads: counters and histograms fed by finished records, off the relay loops, and gauges made from
// the latest snapshot when somebody asks. Label values come from the network, so their number is bounded: beyond
// the bound they are counted under "other".
// Source: design/contract.md 7. The list for people is docs/monitoring/README.md.
#include "fleet/snapshot.hpp"
#include "herd/admin/views.hpp"
#include "store/request_record.hpp"
#include "store/trace_store.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::app {

struct DatagramCount {
    std::string type{};
    std::string result{};
    std::uint64_t count{0};
};

/// Requests that left no record, since the start.
struct Unrecorded {
    int status{0};
    std::uint64_t count{0};
};

/// What only the moment of asking knows.
struct MetricsScene {
    std::string version{};
    admin::Counts counts{};
    std::vector<DatagramCount> datagrams{};
    std::vector<Unrecorded> unrecorded{};
    store::TraceHealth store{};
    std::uint64_t records_dropped{0}; ///< before they reached the store
    std::size_t event_viewers{0};
    std::optional<int> health_score{};
};

struct MetricsLimits {
    std::size_t models{200};
    std::size_t nodes{256};
    std::size_t series_per_family{5000};
};

/// Thread: one owner, the ledger's loop.
class Metrics {
public:
    explicit Metrics(MetricsLimits limits = {});
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;
    ~Metrics();

    void count(const store::RequestRecord& record);
    /// They are requests too. `all`: as MetricsScene has them.
    void count_unrecorded(const std::vector<Unrecorded>& all);
    /// The text format, version 0.0.4. Reads a few small files of /proc.
    [[nodiscard]] std::string text(const fleet::Snapshot& snapshot, const MetricsScene& scene) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace herd::app
