#pragma once
// Samples the GPUs on a worker of its own, because a driver in trouble can keep a caller for ever. The loop
// never waits for it: it looks once a second whether an answer lies there. A driver that does not answer any
// more shows as `failed` cards, and the worker stuck in it is left behind when the program ends.
#include "base/time.hpp"
#include "discovery/node_document.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::node {

struct GpuWatchOptions {
    std::string root{}; ///< where /dev and /sys lie; "" is the real box
    std::string nvml{"libnvidia-ml.so.1"};
    base::Duration every{std::chrono::seconds{2}};
    base::Duration search_every{std::chrono::seconds{60}}; ///< for a driver loaded after us
    base::Duration stuck_after{std::chrono::seconds{10}};
};

/// Thread: the loop's. On a box without a GPU driver it never starts its worker.
class GpuWatch {
public:
    explicit GpuWatch(GpuWatchOptions options);
    GpuWatch(const GpuWatch&) = delete;
    GpuWatch& operator=(const GpuWatch&) = delete;
    ~GpuWatch();

    /// Takes an answer that lies there and asks anew when it is time. Never waits.
    /// True when cards() is newer than before.
    bool tick(base::Instant now);
    [[nodiscard]] const std::vector<discovery::GpuFacts>& cards() const { return cards_; }

private:
    struct Worker;
    bool collect(base::Instant now);
    void ask(base::Instant now);

    GpuWatchOptions options_;
    std::shared_ptr<Worker> worker_;
    std::vector<discovery::GpuFacts> cards_{};
    std::optional<base::Instant> asked_at_{}; ///< while an answer is due
    base::Instant next_at_{};
    bool stuck_{false};
};

} // namespace herd::node
