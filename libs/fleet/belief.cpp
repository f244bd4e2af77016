#include "fleet/belief.hpp"

#include <algorithm>
#include <vector>

namespace herd::fleet {
namespace {

constexpr double capacity_first = 64'000; ///< tokens; llama.cpp keeps some gigabytes beside the slots
constexpr double capacity_least = 2'000;
constexpr double capacity_most = 8e6;
constexpr double doubtful = 6;        ///< times the capacity: beyond that nothing is hoped for
constexpr double doubted_share = 0.4; ///< of an entry that is older than the cache is believed to be deep
constexpr double session_share = 0.8; ///< of the last prompt, when only the session tells
constexpr double noise_tokens = 128;

/// How many blocks of the chain, from its beginning, are in `blocks`. A beginning is used at least as lately as
/// what stands on it, so membership is monotonous and can be halved.
std::size_t known_blocks(const std::vector<PromptBlock>& chain, const std::unordered_map<std::uint64_t, double>& blocks)
{
    if (chain.empty() || !blocks.contains(chain.front().chain)) {
        return 0;
    }
    std::size_t low = 1;
    std::size_t high = chain.size();
    while (low < high) {
        const auto middle = low + (high - low + 1) / 2;
        if (blocks.contains(chain[middle - 1].chain)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

} // namespace

double Belief::trust(double age) const
{
    const double capacity = capacity_ > 0 ? capacity_ : capacity_first;
    return age <= capacity ? 1 : age <= doubtful * capacity && !measured_ ? doubted_share : 0;
}

CacheGuess Belief::match(const PromptChain& chain, std::uint64_t session, double prompt_tokens,
                         double tokens_per_byte) const
{
    CacheGuess guess;
    if (chain != nullptr && !blocks_.empty()) {
        const auto count = known_blocks(*chain, blocks_);
        if (count > 0) {
            double bytes = 0;
            for (std::size_t i = 0; i < count; ++i) {
                bytes += (*chain)[i].bytes;
            }
            guess.known = std::min(bytes * tokens_per_byte, prompt_tokens);
            guess.age = age_of(blocks_.at((*chain)[count - 1].chain));
            guess.tokens = guess.known * trust(guess.age);
        }
    }
    if (session != 0 && guess.tokens <= 0) {
        if (const auto at = sessions_.find(session); at != sessions_.end()) {
            const double age = age_of(at->second.at);
            guess.known = std::min(at->second.tokens, prompt_tokens) * session_share;
            guess.age = age;
            guess.tokens = guess.known * trust(age);
            guess.by_session = true;
        }
    }
    return guess;
}

void Belief::learn(const PromptChain& chain, std::uint64_t session, double prompt_tokens, double tokens_per_byte)
{
    if (chain != nullptr) {
        const auto count = known_blocks(*chain, blocks_);
        for (std::size_t i = count; i < chain->size(); ++i) {
            came_ += (*chain)[i].bytes * tokens_per_byte;
        }
        for (const auto& block : *chain) {
            blocks_[block.chain] = came_;
        }
    } else {
        came_ += prompt_tokens;
    }
    if (session != 0) {
        sessions_[session] = {prompt_tokens, came_};
    }
    if (blocks_.size() > entries_max || sessions_.size() > entries_max) {
        make_room();
    }
}

/// Forgets the older half.
void Belief::make_room()
{
    std::vector<double> moments;
    moments.reserve(blocks_.size() + sessions_.size());
    for (const auto& [chain, at] : blocks_) {
        moments.push_back(at);
    }
    for (const auto& [session, last] : sessions_) {
        moments.push_back(last.at);
    }
    const auto middle = moments.begin() + static_cast<std::ptrdiff_t>(moments.size() / 2);
    std::ranges::nth_element(moments, middle);
    const double oldest_kept = *middle;
    std::erase_if(blocks_, [oldest_kept](const auto& entry) { return entry.second < oldest_kept; });
    std::erase_if(sessions_, [oldest_kept](const auto& entry) { return entry.second.at < oldest_kept; });
    if (blocks_.size() > entries_max) {
        blocks_.clear(); // one prompt of more blocks than we keep
    }
}

void Belief::correct(const CacheGuess& guess, double cached, double prompt_tokens)
{
    if (guess.known < 2 * noise_tokens || prompt_tokens <= 0) {
        return;
    }
    const double capacity = capacity_ > 0 ? capacity_ : capacity_first;
    if (cached > 0.6 * guess.known && guess.age > capacity) {
        capacity_ = std::min(guess.age * 1.1, capacity_most);
        measured_ = true;
    } else if (cached < 0.3 * guess.known && guess.age > capacity_least && guess.age < doubtful * capacity) {
        // It was gone. Not all at once: one miss may have other reasons, such as another slot.
        if (guess.age < capacity) {
            capacity_ = std::max(capacity_least, std::max(guess.age, 0.5 * capacity));
        }
        measured_ = true;
    }
}

void Belief::clear()
{
    blocks_.clear();
    sessions_.clear();
}

void Belief::set_capacity(double tokens)
{
    if (!measured_) {
        capacity_ = std::clamp(tokens, capacity_least, capacity_most);
    }
}

} // namespace herd::fleet
