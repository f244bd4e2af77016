#pragma once
// What the box itself is doing: cores, load, memory, swap, pressure, temperature, read from /proc and /sys.
// Parsing is pure; the probe only remembers the previous CPU counters and where the thermometer is.
#include "discovery/node_document.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herd::node {

/// Jiffies since boot over all CPUs (first line of /proc/stat). Idle and iowait count as not busy.
struct CpuTimes {
    std::uint64_t busy{0};
    std::uint64_t total{0};
};
[[nodiscard]] std::optional<CpuTimes> parse_stat(std::string_view text);
/// Share of time spent busy from `then` to `now`, 0…1; empty when no time passed or the counters went back.
[[nodiscard]] std::optional<double> busy_between(const CpuTimes& then, const CpuTimes& now);

/// /proc/meminfo, in bytes. `available` is the kernel's own estimate (MemAvailable), else free + cached.
struct Memory {
    std::uint64_t total{0};
    std::uint64_t available{0};
    std::uint64_t swap_used{0};
};
[[nodiscard]] std::optional<Memory> parse_meminfo(std::string_view text);

/// The first number of /proc/loadavg.
[[nodiscard]] std::optional<double> parse_loadavg(std::string_view text);

/// "some avg10" of /proc/pressure/memory, in percent: share of time in which somebody waited for memory.
[[nodiscard]] std::optional<double> parse_pressure(std::string_view text);

/// Logical = hardware threads; physical = distinct cores; 0 when the text does not say (ARM, containers).
struct Processor {
    int logical{0};
    int physical{0};
    std::string name{}; ///< "AMD EPYC 7B13"; empty as well when the text does not say
};
[[nodiscard]] Processor parse_cpuinfo(std::string_view text);

/// The file under `root` that holds the CPU's temperature in thousandths of a degree: the package sensor of a
/// known CPU chip in /sys/class/hwmon, else a CPU thermal zone. Empty when there is none (virtual machines).
[[nodiscard]] std::optional<std::string> find_cpu_thermometer(const std::string& root);

/// Reads a box whose /proc and /sys lie under `root` ("" is the real one). A reading is a handful of small
/// files, well under a millisecond. Thread: one owner.
class HostProbe {
public:
    explicit HostProbe(std::string root = "");
    /// `cpu_busy` covers the time since the previous reading.
    [[nodiscard]] discovery::HostFacts read();

private:
    std::string root_;
    Processor processor_{};
    std::string arch_{};
    std::optional<std::string> thermometer_{};
    std::optional<CpuTimes> previous_{};
};

} // namespace herd::node
