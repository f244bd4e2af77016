#pragma once
// How long requests of each model waited lately, all together: what another copy of it may cost. Loading one delays
// whoever is sent there, who alone would rather wait; it is worth it once the waiting has cost as much as the load
// (whoever rents until the rent has come to the price, and then buys, pays at most twice what was needed).
#include "base/time.hpp"

#include <string>
#include <unordered_map>

namespace herd::fleet {

class Shortage {
public:
    void waited(const std::string& model, double seconds, base::Instant now);
    /// Seconds, forgotten by half each minute.
    [[nodiscard]] double of(const std::string& model, base::Instant now) const;
    /// A load was begun on account of it.
    void spend(const std::string& model, double seconds, base::Instant now);

private:
    static constexpr std::size_t models_max = 1024;
    struct Sum {
        double seconds{0};
        base::Instant at{};
        [[nodiscard]] double now_worth(base::Instant now) const;
    };
    std::unordered_map<std::string, Sum> sums_{};
};

} // namespace herd::fleet
