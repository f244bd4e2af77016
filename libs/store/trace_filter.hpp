#pragma once
// Which records somebody wants to see: the same question for those in the database and for those still in memory.
#include "store/request_record.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace herd::store {

/// Where a page ended: the next one begins with what is older.
struct Cursor {
    std::int64_t at_us{0};
    std::uint64_t seq{0};
    [[nodiscard]] std::string text() const;
    [[nodiscard]] static std::optional<Cursor> parse(std::string_view text);
    [[nodiscard]] static Cursor of(const RequestRecord& record);
    auto operator<=>(const Cursor&) const = default;
};

/// Status codes from `first` to `last`, or by outcome.
struct StatusFilter {
    enum class Kind : std::uint8_t { any, codes, ok, failed };
    Kind kind{Kind::any};
    int first{0};
    int last{0};
    /// "200", "5xx", "ok" (below 400 and properly ended), "failed" (5xx, or the node or a deadline ended it).
    [[nodiscard]] static std::optional<StatusFilter> parse(std::string_view text);
};

struct TraceFilter {
    std::string model{}; ///< as answered or as asked for
    std::string node{};
    std::string tag{};
    std::string key{};
    std::string client{};
    StatusFilter status{};
    bool models_alone{false}; ///< those that want a model: request_class.hpp
    std::optional<base::WallTime> since{}; ///< arrived then or later
    std::optional<Cursor> before{};
    std::size_t limit{100};
};

/// Whether `record` is wanted; the limit aside.
[[nodiscard]] bool matches(const TraceFilter& filter, const RequestRecord& record);
/// Newest first: by arrival, then by end.
[[nodiscard]] bool newer(const RequestRecord& a, const RequestRecord& b);

} // namespace herd::store
