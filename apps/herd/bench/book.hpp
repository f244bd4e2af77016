#pragma once
// The benchmarks that are kept, as JSON: the newest first, the oldest forgotten. The text of it is what stands in the state
// directory. Pure.
#include "base/error.hpp"

#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace herd::app::bench {

/// Thread: one owner.
class Book {
public:
    static constexpr std::size_t kept = 50;

    void add(std::string run_id, std::string json);
    /// {"data":[run…]}, at most `limit` of them.
    [[nodiscard]] std::string list(std::size_t limit) const;
    /// Null: none is called so.
    [[nodiscard]] const std::string* find(std::string_view run_id) const;
    [[nodiscard]] std::size_t size() const { return runs_.size(); }

    /// A JSON array, a run a line.
    [[nodiscard]] std::string text() const;
    /// Errors: malformed, when it is not what text() writes; nothing is changed then.
    [[nodiscard]] base::Result<void> read(std::string_view text);

private:
    [[nodiscard]] std::string joined(std::size_t limit, std::string_view between) const;
    std::deque<std::pair<std::string, std::string>> runs_{}; ///< id and JSON, the newest first
};

} // namespace herd::app::bench
