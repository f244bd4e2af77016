#pragma once
// The writing half of the trace store, on its thread: opens, writes batches, forgets, and gets over faults.
// Internal to the room.
#include "store/internal/sqlite.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/internal/usage_roller.hpp"
#include "store/trace_store.hpp"

#include <array>
#include <optional>
#include <span>

namespace herd::store::internal {

/// Thread: one.
class TraceWriter {
public:
    using Records = std::span<const std::shared_ptr<const RequestRecord>>;

    TraceWriter(std::string path, const base::Clock& clock) : path_(std::move(path)), clock_(clock) {}

    /// One transaction. When it fails none of them is kept: counted, and the fault is in picture().
    void write(Records records);
    /// Now and then: drops what is too old or too much, in steps that take milliseconds.
    void maintain(const TraceLimits& limits);
    /// Adds up a little of the past. True: there is more to do.
    [[nodiscard]] bool roll();
    [[nodiscard]] const TraceHealth& picture() const { return picture_; }

private:
    /// Rows of one statement: what a statement costs besides its rows is a third of what one with one row does.
    static constexpr std::size_t together = 16;

    base::Result<void> open();
    base::Result<void> insert(Records records);
    base::Result<void> insert_all(Records records);
    base::Result<void> insert_rows(Statement& statement, Records records);
    base::Result<void> insert_tags(const RequestRecord& record);
    base::Result<void> try_to_write();
    base::Result<void> forget(const TraceLimits& limits);
    base::Result<std::int64_t> drop_oldest(std::int64_t before_us, std::int64_t count);
    base::Result<std::int64_t> data_bytes();
    void failed(const base::Error& error);

    std::string path_;
    const base::Clock& clock_;
    std::optional<Database> database_{};
    Statement insert_{};     // this and the next three are database_'s: gone before it
    Statement insert_many_{};
    Statement insert_tag_{};
    Statement newest_{};
    std::array<RowTexts, together> texts_{};
    UsageRoller roller_{};
    base::Instant retry_at_{};
    base::Instant maintained_at_{};
    TraceHealth picture_{};
};

} // namespace herd::store::internal
