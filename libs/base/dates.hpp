#pragma once
// When a thing that people wrote down was made and last changed. It is shown; nothing is decided by it.
#include "base/time.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace herd::base {

struct Dates {
    WallTime created{};
    WallTime updated{};
    bool operator==(const Dates&) const = default;
};
/// Nothing: nobody wrote it down, or it is not known when.
using MaybeDates = std::optional<Dates>;

/// From 1970 until the last year of four digits: what a damaged file may claim beyond that cannot be shown.
inline constexpr WallTime last_date{std::chrono::seconds{253'402'300'799}};
[[nodiscard]] constexpr bool is_date(WallTime time) { return time >= WallTime{} && time <= last_date; }

/// Of two parts of one thing: the earlier beginning, the later change.
[[nodiscard]] constexpr MaybeDates joined(const MaybeDates& a, const MaybeDates& b)
{
    return a && b ? MaybeDates{Dates{std::min(a->created, b->created), std::max(a->updated, b->updated)}} : a ? a : b;
}

/// After it was written again: only what differs from before was changed.
[[nodiscard]] constexpr MaybeDates rewritten(const MaybeDates& before, bool differs, WallTime now)
{
    return differs ? MaybeDates{Dates{before ? before->created : now, now}} : before;
}

/// RFC 3339 in UTC: "2026-01-02T03:04:05.678Z".
[[nodiscard]] std::string timestamp(WallTime time);

} // namespace herd::base
