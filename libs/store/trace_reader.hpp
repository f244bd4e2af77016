#pragma once
// Reading request records back, on a connection of its own: never in the writer's way, nor it in ours.
#include "base/error.hpp"
#include "base/time.hpp"
#include "store/trace_filter.hpp"
#include "store/usage.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace herd::store {

/// Every call opens the file anew (a fraction of a millisecond; it may have been set aside meanwhile), blocks for
/// the disk, and gives up after `patience`. A file that is not there holds no records.
/// Errors: timed_out, malformed, io. Thread: any, one call at a time.
class TraceReader {
public:
    TraceReader(std::string path, const base::Clock& clock, base::Duration patience = std::chrono::seconds{10})
        : path_(std::move(path)), clock_(clock), patience_(patience)
    {
    }
    /// Newest first.
    [[nodiscard]] base::Result<std::vector<RequestRecord>> list(const TraceFilter& filter) const;
    /// The newest of that id.
    [[nodiscard]] base::Result<std::optional<RequestRecord>> find(const std::string& id) const;
    /// Hands what arrived from `since` on and before `until` to `take`, oldest first: the newest `most` of it.
    [[nodiscard]] base::Result<void> past(base::WallTime since, base::WallTime until, std::size_t most,
                                          const std::function<void(const RequestRecord&)>& take) const;
    /// Adds everything in the query's time to `sum`.
    [[nodiscard]] base::Result<void> sum(const UsageQuery& query, UsageSum& sum) const;

private:
    std::string path_;
    const base::Clock& clock_;
    base::Duration patience_;
};

} // namespace herd::store
