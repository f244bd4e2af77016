#pragma once
// Seeded randomness. The standard distributions differ between libraries; these do not, so a seed
// replays the same run everywhere. (xoshiro256**, seeded through splitmix64.)
#include <array>
#include <cstdint>

namespace herd::base {

/// Thread: one owner. Not for secrets (see net/crypto.hpp for those).
class Rng {
public:
    explicit Rng(std::uint64_t seed);
    [[nodiscard]] std::uint64_t next();
    /// Uniform in [low, high]. Requires low <= high.
    [[nodiscard]] std::uint64_t between(std::uint64_t low, std::uint64_t high);
    /// Uniform in [0, 1).
    [[nodiscard]] double unit();
    [[nodiscard]] bool chance(double probability) { return unit() < probability; }

private:
    std::array<std::uint64_t, 4> state_{};
};

/// A seed from the operating system, for programs that are not being replayed.
[[nodiscard]] std::uint64_t random_seed();

} // namespace herd::base
