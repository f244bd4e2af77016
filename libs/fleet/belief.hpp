#pragma once
// Which beginnings of prompts a node probably still has in its cache, for one model. A cache drops what was not
// used for longest once more has come than it can hold; so an entry is remembered with how much had come when
// it was last used, and its age is counted in tokens, not in seconds. How much the cache holds is learned:
// a hit on something older than believed makes it larger, a miss on something younger makes it smaller.
// Source: scheduling.md 3.
#include "fleet/profile.hpp"

#include <cstdint>
#include <unordered_map>

namespace herd::fleet {

/// What is believed of one prompt.
struct CacheGuess {
    double tokens{0};      ///< of the prompt that need not be evaluated: to count with
    double known{0};       ///< tokens of the beginning that were ever seen there
    double age{0};         ///< of that beginning: tokens that came since it was used
    bool by_session{false};///< only the session tells
};

class Belief {
public:
    static constexpr std::size_t entries_max = 8192;

    /// The longest beginning of `chain` that is believed there. `tokens_per_byte` turns blocks into tokens.
    /// O(log blocks).
    [[nodiscard]] CacheGuess match(const PromptChain& chain, std::uint64_t session, double prompt_tokens,
                                   double tokens_per_byte) const;
    /// The prompt is being evaluated there: all of it will be in the cache, `output_tokens` of answer behind it.
    void learn(const PromptChain& chain, std::uint64_t session, double prompt_tokens, double tokens_per_byte);
    /// What the node's own timings say: `guess` was assumed, `cached` tokens were not evaluated.
    void correct(const CacheGuess& guess, double cached, double prompt_tokens);
    /// Unloaded, reloaded or restarted. What was learned of the size stays.
    void clear();
    /// First guess of what fits; kept once something was measured.
    void set_capacity(double tokens);
    [[nodiscard]] double capacity() const { return capacity_; }
    [[nodiscard]] bool empty() const { return blocks_.empty() && sessions_.empty(); }

private:
    struct Session {
        double tokens{0};
        double at{0};
    };
    [[nodiscard]] double age_of(double at) const { return came_ - at; }
    [[nodiscard]] double trust(double age) const;
    void make_room();

    std::unordered_map<std::uint64_t, double> blocks_{}; ///< chain → `came_` when it was last used
    std::unordered_map<std::uint64_t, Session> sessions_{};
    double came_{0}; ///< tokens evaluated there so far
    double capacity_{0};
    bool measured_{false};
};

} // namespace herd::fleet
