#pragma once
// NVIDIA cards through NVML. The library is loaded at run time, so that one binary serves boxes with and
// without it; only the few functions we call are declared (from the published API, stable for a decade).
// Calls into a sick driver can block for ever: use this on a net::Blocking worker only.
#include "discovery/node_document.hpp"

#include <memory>
#include <string>
#include <vector>

namespace herd::node {

/// Thread: one owner (a worker). May block inside the driver.
class NvidiaProbe {
public:
    /// Loads `library` and initialises it. Without library, driver or card there are simply no GPUs.
    explicit NvidiaProbe(const std::string& library = "libnvidia-ml.so.1");
    NvidiaProbe(const NvidiaProbe&) = delete;
    NvidiaProbe& operator=(const NvidiaProbe&) = delete;
    ~NvidiaProbe();

    /// The library is there and its driver answered.
    [[nodiscard]] bool usable() const;
    /// One entry per card, in the driver's order; a card that stopped answering is marked `failed`.
    [[nodiscard]] std::vector<discovery::GpuFacts> read();

private:
    struct Library;
    std::unique_ptr<Library> library_;
};

/// Memory bandwidth in GB/s: two transfers per clock of the memory bus.
[[nodiscard]] double memory_bandwidth(unsigned clock_mhz, unsigned bus_bits);

} // namespace herd::node
