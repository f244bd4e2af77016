#pragma once
// A prompt cache: blocks by chain, least recently used out first, bounded in tokens. The modelled node's truth
// and the baselines' belief are both of this kind.
#include "workload.hpp"

#include <list>
#include <unordered_map>

namespace herd::replay {

class PromptCache {
public:
    explicit PromptCache(int tokens_max) : tokens_max_(tokens_max) {}

    /// Tokens of the longest beginning that is held. Changes nothing.
    [[nodiscard]] int match(const std::vector<Block>& blocks) const
    {
        int tokens = 0;
        for (const auto& block : blocks) {
            if (!where_.contains(block.chain)) {
                break;
            }
            tokens += block.tokens;
        }
        return tokens;
    }
    [[nodiscard]] bool holds(std::uint64_t chain) const { return where_.contains(chain); }
    /// Holds these now; beginnings stay longer than ends.
    void remember(const std::vector<Block>& blocks)
    {
        for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
            if (const auto at = where_.find(block->chain); at != where_.end()) {
                order_.splice(order_.begin(), order_, at->second);
                continue;
            }
            order_.push_front(*block);
            where_.emplace(block->chain, order_.begin());
            tokens_ += block->tokens;
        }
        while (tokens_ > tokens_max_) {
            tokens_ -= order_.back().tokens;
            where_.erase(order_.back().chain);
            order_.pop_back();
        }
    }
    void clear()
    {
        order_.clear();
        where_.clear();
        tokens_ = 0;
    }

private:
    int tokens_max_;
    std::int64_t tokens_{0};
    std::list<Block> order_{}; ///< newest first
    std::unordered_map<std::uint64_t, std::list<Block>::iterator> where_{};
};

} // namespace herd::replay
