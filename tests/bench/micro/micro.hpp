#pragma once
// A loop that measures nanoseconds per call, for pieces too small to see in the relay benchmark. The least of
// several batches is what the code needs; the median is what it got beside other work on the machine.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>

namespace herd::bench {

/// Makes the compiler believe that `value` is used.
template <class T>
inline void keep(const T& value)
{
    asm volatile("" : : "g"(&value) : "memory");
}

/// Calls `work` for about a second altogether and prints one line. `bytes` (0: none) adds a throughput.
template <class Work>
void measure(const char* name, Work&& work, std::size_t bytes = 0)
{
    using Clock = std::chrono::steady_clock;
    const auto batch = [&work](std::uint64_t calls) {
        const auto begin = Clock::now();
        for (std::uint64_t i = 0; i < calls; ++i) {
            work();
        }
        return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
    };
    std::uint64_t calls = 16;
    while (batch(calls) < 2e7) {
        calls *= 2;
    }
    std::array<double, 25> times{};
    for (auto& time : times) {
        time = batch(calls) / static_cast<double>(calls);
    }
    std::ranges::sort(times);
    std::printf("%-52s %10.1f %10.1f", name, times.front(), times[times.size() / 2]);
    if (bytes > 0) {
        std::printf(" %10.0f", static_cast<double>(bytes) * 1e3 / times.front());
    }
    std::printf("\n");
    (void)std::fflush(stdout);
}

inline void print_header()
{
    std::printf("%-52s %10s %10s %10s\n", "", "least ns", "median ns", "MB/s");
}

} // namespace herd::bench
