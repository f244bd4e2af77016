#pragma once
// Two memories of a frontend, both bounded: whose turn it is among its nodes, and which node a conversation is bound
// to. Pure.
// Source: reference/parity.md OF-12, 3.6.
#include "base/ids.hpp"
#include "base/time.hpp"

#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace herd::fleet {

/// Stride scheduling: a node's place moves on by 1/weight each time it is taken, and the one that is furthest back is
/// next. Who joins, or comes back, begins where the others are, so that it is not flooded.
class Turns {
public:
    static constexpr std::size_t wheels_max = 4096;
    /// Lower goes first.
    [[nodiscard]] double place_of(const std::string& frontend, const std::string& model, const base::NodeId& node) const;
    void taken(const std::string& frontend, const std::string& model, const base::NodeId& node, double weight);

private:
    struct Wheel {
        double now{0}; ///< the place of the last one taken
        std::map<base::NodeId, double> places{};
    };
    std::map<std::pair<std::string, std::string>, Wheel> wheels_{};
};

/// Conversation → node, forgotten when it was not used for so long, or when there is no more room (least recently
/// used first).
class Bound {
public:
    explicit Bound(std::size_t entries_max = 100'000) : entries_max_(entries_max) {}
    [[nodiscard]] static std::string key(const std::string& frontend, const std::string& conversation,
                                         const std::string& model);
    [[nodiscard]] std::optional<base::NodeId> find(const std::string& key, base::Instant now) const;
    /// Binds anew, or goes on: until `until`.
    void bind(const std::string& key, const base::NodeId& node, base::Instant until);
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        std::string key{};
        base::NodeId node{};
        base::Instant until{};
    };
    std::size_t entries_max_;
    std::list<Entry> entries_{}; ///< latest first
    std::unordered_map<std::string, std::list<Entry>::iterator> by_key_{};
};

} // namespace herd::fleet
