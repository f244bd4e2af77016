#pragma once
// The fleet as gauges: made anew for each scrape, so that a node that left leaves nothing behind. Internal to
// records/: prometheus-cpp's types show here.
#include "herd/records/metrics.hpp"

#include <prometheus/metric_family.h> // tidy: allow(heavy-header) two small structs, seen by two files

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::app {

/// One family in the making.
class GaugeFamily {
public:
    GaugeFamily(std::string name, std::string help, prometheus::MetricType type = prometheus::MetricType::Gauge);
    using Label = std::pair<const char*, std::string_view>;
    void add(double value, std::initializer_list<Label> labels = {});
    [[nodiscard]] prometheus::MetricFamily take() { return std::move(family_); }
    [[nodiscard]] bool empty() const { return family_.metric.empty(); }

private:
    prometheus::MetricFamily family_{};
};

/// Appends everything about nodes, the store, the process and the program.
void append_gauges(std::vector<prometheus::MetricFamily>& families, const fleet::Snapshot& snapshot, const MetricsScene& scene,
                   std::size_t nodes_max);
/// A label's value that any scraper reads: UTF-8, at most 128 bytes.
[[nodiscard]] std::string label_value(std::string_view text);

} // namespace herd::app
