#pragma once
// What a herd has learned about the speed of its nodes, kept over a restart so that the first requests after it
// already go where they are done soonest. A convenience, never a truth: what is lost is learned again.
#include "base/error.hpp"
#include "base/ids.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::store {

/// Figures of one digest on one node; 0: not learned. Seconds, tokens, bytes.
struct SavedRates {
    base::NodeId node{};
    std::string digest{};
    double prefill_s{0};       ///< per prompt token
    double prefill_slope_s{0}; ///< more per token, for each token before it
    double decode_s{0};        ///< per output token
    double decode_slope_s{0};  ///< more per token, for each other request
    double load_rate{0};       ///< bytes per second
    double weight{0};          ///< observations behind it
};

inline constexpr std::size_t saved_rates_max = 65536;

struct LoadedRates {
    std::vector<SavedRates> rates{};
    std::string warning{}; ///< one sentence for the log; empty when all is well
};

/// Never fails: without a file nothing is known; one that makes no sense is set aside as .bad. Blocks.
[[nodiscard]] LoadedRates load_rates(const std::string& path);
/// Atomic, 0600. Errors: io. Blocks (fsync): give it to net::Blocking.
[[nodiscard]] base::Result<void> save_rates(const std::string& path, const std::vector<SavedRates>& rates);

/// The text form, one row a line. parse: malformed when anything is not as we write it, or no number of that kind
/// can be true.
[[nodiscard]] std::string to_json(const std::vector<SavedRates>& rates);
[[nodiscard]] base::Result<std::vector<SavedRates>> parse_rates(std::string_view text);

} // namespace herd::store
