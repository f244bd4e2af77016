#pragma once
// `herd import ollama-herd --history`: what Ollama Herd remembers of requests comes into herd's own records, whether herd
// runs or not.
#include "base/error.hpp"
#include "base/time.hpp"
#include "herd/options.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace herd::app {

/// What became of its requests, and of rows of its table that are none.
struct HistoryTally {
    std::uint64_t taken{0};
    std::uint64_t lessened{0};  ///< of those: without a value that made no sense
    std::uint64_t known{0};
    std::uint64_t too_old{0};
    std::uint64_t senseless{0};
    std::uint64_t may_run{0};
    bool full{false};           ///< the rest is left out, for want of room
};

/// Where from, and where to.
struct HistoryJob {
    std::string database{};     ///< Ollama Herd's
    HerdOptions::Store store{};
    std::string state_dir{};
    std::function<void(base::Duration)> pause{}; ///< lets others write
};

/// Blocks. `tally` counts also when it fails. Errors: one sentence.
[[nodiscard]] base::Result<void> take_history(const HistoryJob& job, const base::Clock& clock, HistoryTally& tally);
/// One sentence.
[[nodiscard]] std::string history_sentence(const HistoryTally& tally, const HerdOptions::Store& store);

} // namespace herd::app
