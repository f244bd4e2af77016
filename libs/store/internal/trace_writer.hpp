#pragma once
// The writing half of the trace store, on its thread: opens, writes batches, forgets, and gets over faults.
// Internal to the room.
#include "store/internal/sqlite.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/internal/usage_roller.hpp"
#include "store/trace_store.hpp"

#include <optional>
#include <span>

namespace herd::store::internal {

/// Thread: one.
class TraceWriter {
public:
    TraceWriter(std::string path, const base::Clock& clock) : path_(std::move(path)), clock_(clock) {}

    /// One transaction. When it fails none of them is kept: counted, and the fault is in picture().
    void write(std::span<const std::shared_ptr<const RequestRecord>> records);
    /// Now and then: drops what is too old or too much, in steps that take milliseconds.
    void maintain(const TraceLimits& limits);
    /// Adds up a little of the past. True: there is more to do.
    [[nodiscard]] bool roll();
    [[nodiscard]] const TraceHealth& picture() const { return picture_; }

private:
    base::Result<void> open();
    base::Result<void> insert(std::span<const std::shared_ptr<const RequestRecord>> records);
    base::Result<void> insert_one(const RequestRecord& record);
    base::Result<void> forget(const TraceLimits& limits);
    base::Result<std::int64_t> drop_oldest(std::int64_t before_us, std::int64_t count);
    base::Result<std::int64_t> data_bytes();
    void failed(const base::Error& error);

    std::string path_;
    const base::Clock& clock_;
    std::optional<Database> database_{};
    Statement insert_{};     // of database_: gone before it
    Statement insert_tag_{};
    RowTexts texts_{};
    UsageRoller roller_{};
    base::Instant retry_at_{};
    base::Instant maintained_at_{};
    TraceHealth picture_{};
};

} // namespace herd::store::internal
