#pragma once
// The two kinds of load. Each runs against one target, checks every byte it receives, and prints one JSON object
// on stdout. A failed or corrupted answer ends the program with {"failed": …} and exit code 1: there is no
// figure for a run in which something went wrong.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <netinet/in.h>

namespace herd::bench {

struct LoadOptions {
    ::sockaddr_in target{};
    std::string host{};            ///< for the Host field
    int pid{0};                    ///< the process whose CPU time and memory are read; 0: none
    std::uint32_t connections{64}; ///< or streams
    std::uint32_t rate{0};         ///< chunks per second and stream
    std::uint32_t warmup_ms{1000};
    std::uint32_t seconds{4};
};

/// Closed loop: each connection sends its next request when the last answer is complete. With rate 0 the
/// answers are 1 KB of JSON, else streams of a single chunk, whose first byte is what counts.
void run_requests(const LoadOptions& options);
/// Opens all streams over about a second, measures a window in which all are open, then sees each to its end.
void run_streams(const LoadOptions& options);

[[noreturn]] void refuse(std::string_view why, std::string_view what = {});

/// Latencies of one window, in nanoseconds.
class Latencies {
public:
    void add(std::uint64_t ns) { values_.push_back(ns); }
    [[nodiscard]] std::size_t count() const { return values_.size(); }
    /// In microseconds; `quantile` in [0, 1]. 0 when empty. Sorts what it needs of the values.
    [[nodiscard]] double us(double quantile);

private:
    std::vector<std::uint64_t> values_;
};

/// CPU time and memory of the measured process over one window.
struct Window {
    std::uint64_t began_ns{0};
    std::uint64_t ended_ns{0};
    std::int64_t cpu_began{-1};
    std::int64_t cpu_ended{-1};
    void begin(int pid);
    void end(int pid);
    [[nodiscard]] double seconds() const { return static_cast<double>(ended_ns - began_ns) / 1e9; }
    /// CPU µs of the process per item; -1 without a process.
    [[nodiscard]] double cpu_us(std::uint64_t items) const;
};

} // namespace herd::bench
