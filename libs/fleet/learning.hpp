#pragma once
// All that is learned about one model on one node. Kept with the model's entry of the node, so that it goes when
// the model goes, and needs no index and no limit of its own.
#include "fleet/belief.hpp"
#include "fleet/rates.hpp"
#include "fleet/risk.hpp"

namespace herd::fleet {

struct Learning {
    std::uint64_t digest{0}; ///< what the rates belong to: another digest is another model
    Rates rates{};
    Speed fitted{};    ///< rates.speed({}), kept because every decision asks for it
    bool sure{false};  ///< enough was seen to do without a guess
    Belief belief{};
    Risk risk{};
    double service_s{0};      ///< running mean of whole requests, for those that tell no figures
    double service_weight{0};

    /// After `rates` changed.
    void fit();
};

/// How fast a node brings models into memory: a running mean of its logarithm, since it spans decades.
class LoadRate {
public:
    /// Loads shorter than this tell nothing (Ollama reports some tens of milliseconds for a resident model).
    static constexpr double seconds_least = 0.3;

    void note(double bytes, double seconds);
    void restore(double bytes_per_second);
    /// Bytes per second; 0: nothing learned.
    [[nodiscard]] double bytes_per_second() const { return rate_; }

private:
    double rate_{0};
    double weight_{0};
};

} // namespace herd::fleet
