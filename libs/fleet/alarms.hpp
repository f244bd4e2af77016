#pragma once
// Who wants to be woken when: one moment per key, earliest first. Owners that move their moment with every
// heartbeat do better to leave the alarm as it is and look again when it rings.
#include "base/time.hpp"

#include <map>
#include <optional>
#include <set>
#include <utility>

namespace herd::fleet {

/// "Not at all", for moments that are optional.
inline constexpr base::Instant never = base::Instant::max();

template <class Key>
class Alarms {
public:
    /// Replaces the moment of `key`; `never` takes it away. O(log n).
    void set(const Key& key, base::Instant at)
    {
        const auto known = by_key_.find(key);
        if (known != by_key_.end()) {
            if (known->second == at) {
                return;
            }
            by_time_.erase({known->second, key});
            by_key_.erase(known);
        }
        if (at != never) {
            by_time_.emplace(at, key);
            by_key_.emplace(key, at);
        }
    }
    void clear(const Key& key) { set(key, never); }

    [[nodiscard]] std::optional<base::Instant> next() const
    {
        return by_time_.empty() ? std::nullopt : std::optional{by_time_.begin()->first};
    }
    /// Takes the earliest key whose moment has come; ties in the order of keys.
    [[nodiscard]] std::optional<Key> take_due(base::Instant now)
    {
        if (by_time_.empty() || by_time_.begin()->first > now) {
            return std::nullopt;
        }
        auto key = by_time_.begin()->second;
        by_time_.erase(by_time_.begin());
        by_key_.erase(key);
        return key;
    }
    /// When `key` wants to be woken; nothing when it does not.
    [[nodiscard]] std::optional<base::Instant> of(const Key& key) const
    {
        const auto at = by_key_.find(key);
        return at == by_key_.end() ? std::nullopt : std::optional{at->second};
    }
    [[nodiscard]] std::size_t size() const { return by_key_.size(); }

private:
    std::set<std::pair<base::Instant, Key>> by_time_{};
    std::map<Key, base::Instant> by_key_{};
};

} // namespace herd::fleet
