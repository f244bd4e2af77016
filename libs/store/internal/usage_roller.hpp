#pragma once
// Sums of whole hours beside the records, so that a question about a month reads some thousand small rows and not half
// a million large ones. They are a copy, never the truth: made of the records once an hour is over, kept equal to
// them in the transactions that change those, and gone with them. Internal to the room; its owner is the writer. Another
// process that adds records (RecordIntake) drops the sums of their hours with drop(); they are made again.
#include "store/internal/sqlite.hpp"
#include "store/usage.hpp"

#include <array>
#include <optional>
#include <vector>

namespace herd::store::internal {

inline constexpr std::int64_t hour_us = 3'600'000'000;

/// Thread: its database's, which is the same one in every call.
class UsageRoller {
public:
    /// Of one kind in one hour; a kind that had more names is not kept for that hour, and is counted row by row.
    static constexpr std::size_t names_max = 1000;
    static constexpr int rows_a_step = 5000;

    /// First of all.
    [[nodiscard]] base::Result<void> begin(Database& database);
    /// In the transaction that wrote `record`, a new one.
    [[nodiscard]] base::Result<void> wrote(Database& database, const RequestRecord& record);
    /// In the transaction that forgets the oldest records, the last of them at `last_us`.
    [[nodiscard]] base::Result<void> forgot(Database& database, std::int64_t last_us);
    /// Adds up a little more of the past. True: there is more to do.
    [[nodiscard]] base::Result<bool> step(Database& database, base::WallTime now);
    /// In the transaction of another process that adds records to `hour`.
    [[nodiscard]] static base::Result<void> drop(Database& database, std::int64_t hour);

private:
    static constexpr std::size_t kinds = 6; // of UsageBy
    struct Hour {
        explicit Hour(std::int64_t number);
        std::int64_t hour;
        std::int64_t at_us; // up to here it was read: the last row's time and number
        std::int64_t seq{0};
        std::vector<UsageSum> sums{}; // by UsageBy
    };

    [[nodiscard]] base::Result<bool> changed_by_others(Database& database) const;
    [[nodiscard]] base::Result<bool> choose(Database& database, std::int64_t horizon);
    [[nodiscard]] base::Result<int> read(Database& database);
    [[nodiscard]] base::Result<void> add_tags(Statement& tags, std::int64_t seq, const UsageSample& sample);
    [[nodiscard]] base::Result<void> finish(Database& database);
    [[nodiscard]] base::Result<void> keep(Database& database);
    [[nodiscard]] base::Result<void> add_late(Database& database, const RequestRecord& record, std::int64_t hour, std::int64_t kept);

    std::int64_t next_{0};         // hours before it are kept, empty, or no longer worth it
    std::int64_t rolled_until_{0}; // no hour from here on is kept
    std::int64_t others_{0};       // moves when another process changes the records
    std::optional<Hour> rolling_{};
};

} // namespace herd::store::internal
