#include "store/internal/usage_roller.hpp"

#include "store/internal/trace_schema.hpp"
#include "store/internal/usage_rows.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace herd::store::internal {

namespace {

/// Most of what began in an hour has ended by then; what ends later is added.
constexpr base::Duration grace = std::chrono::minutes{5};

/// Of other connections only; what is done on the one that asks does not count.
constexpr const char* changes_of_others = "PRAGMA data_version";

constexpr std::array every_kind{UsageBy::model, UsageBy::node, UsageBy::tag, UsageBy::key, UsageBy::client, UsageBy::model_on_node};

UsageQuery whole(UsageBy by)
{
    return {.by = by,
            .bucket = std::chrono::hours{1},
            .since = base::WallTime::min(),
            .until = base::WallTime::max(),
            .lengths = true};
}

std::int64_t bit(UsageBy by) { return std::int64_t{1} << static_cast<int>(by); }

base::Result<void> ran(Statement& statement)
{
    const auto row = statement.step();
    statement.reset();
    return row ? base::Result<void>{} : std::unexpected(row.error());
}

/// As it lies on the disk: in microseconds.
RequestRecord as_kept(const RequestRecord& record)
{
    const auto cut = [](base::Duration time) { return base::Duration(std::chrono::duration_cast<std::chrono::microseconds>(time)); };
    RequestRecord kept = record;
    kept.ttft = cut(kept.ttft);
    kept.total = cut(kept.total);
    kept.load = kept.load ? std::optional{cut(*kept.load)} : std::nullopt;
    return kept;
}

/// A kind with too many names is not kept: no memory for more of them.
void feed(UsageSum& sum, const auto& what)
{
    if (sum.cells().size() <= UsageRoller::names_max) {
        sum.add(what);
    }
}

} // namespace

UsageRoller::Hour::Hour(std::int64_t number) : hour(number), at_us(number * hour_us - 1)
{
    for (const UsageBy by : every_kind) {
        sums.emplace_back(whole(by));
    }
}

base::Result<void> UsageRoller::begin(Database& database)
{
    const auto others = database.integer(changes_of_others); // first: what comes between is seen later
    const auto until = database.integer("SELECT coalesce(max(hour) + 1, 0) FROM usage_rolled");
    if (!until || !others) {
        return std::unexpected(until ? others.error() : until.error());
    }
    *this = {};
    rolled_until_ = *until;
    others_ = *others;
    return {};
}

base::Result<void> UsageRoller::drop(Database& database, std::int64_t hour)
{
    return database.run(fmt::format("DELETE FROM usage_hours WHERE hour = {0}; DELETE FROM usage_rolled WHERE hour = {0}", hour).c_str());
}

base::Result<bool> UsageRoller::changed_by_others(Database& database) const
{
    const auto others = database.integer(changes_of_others);
    return others ? base::Result<bool>{*others != others_} : std::unexpected(others.error());
}

base::Result<void> UsageRoller::wrote(Database& database, const RequestRecord& record)
{
    const std::int64_t at_us = record.at.time_since_epoch().count();
    const std::int64_t hour = at_us / hour_us;
    if (rolling_ && rolling_->hour == hour) {
        if (std::pair(at_us, static_cast<std::int64_t>(record.seq)) <= std::pair(rolling_->at_us, rolling_->seq)) {
            for (UsageSum& sum : rolling_->sums) {
                feed(sum, as_kept(record));
            }
        }
        return {};
    }
    if (hour >= rolled_until_) {
        next_ = std::min(next_, hour);
        return {};
    }
    const auto kept = database.integer(fmt::format("SELECT coalesce((SELECT kinds FROM usage_rolled WHERE hour = {}), -1)", hour).c_str());
    if (!kept) {
        return std::unexpected(kept.error());
    }
    return *kept < 0 ? base::Result<void>{} : add_late(database, as_kept(record), hour, *kept);
}

base::Result<void> UsageRoller::add_late(Database& database, const RequestRecord& record, std::int64_t hour, std::int64_t kept)
{
    auto find = database.prepare("SELECT cell FROM usage_hours WHERE kind = ? AND hour = ? AND name = ?");
    auto put = database.prepare("INSERT OR REPLACE INTO usage_hours (kind, hour, name, cell) VALUES (?, ?, ?, ?)");
    if (!find || !put) {
        return std::unexpected(find ? put.error() : find.error());
    }
    for (const UsageBy by : every_kind) {
        UsageSum late(whole(by));
        if ((kept & bit(by)) != 0) {
            late.add(record);
        }
        const auto names = late.cells(); // a copy: `late` is added to
        for (const auto& [key, cell] : names) {
            find->bind(1, std::int64_t{static_cast<int>(by)});
            find->bind(2, hour);
            find->bind(3, key.second);
            const auto row = find->step();
            if (!row) {
                return std::unexpected(row.error());
            }
            if (*row) {
                const auto before = unpack_cell(find->text(0));
                if (!before) {
                    return base::fail(base::Errc::malformed, "a sum of requests makes no sense");
                }
                late.add(key, *before);
            }
            find->reset();
            const std::string bytes = pack_cell(late.cells().at(key));
            put->bind(1, std::int64_t{static_cast<int>(by)});
            put->bind(2, hour);
            put->bind(3, key.second);
            put->bind_bytes(4, bytes);
            if (auto done = ran(*put); !done) {
                return done;
            }
        }
    }
    return {};
}

/// The hour that loses some goes too, and is not made again: it would be lost again in a minute.
base::Result<void> UsageRoller::forgot(Database& database, std::int64_t last_us)
{
    const std::int64_t hour = last_us / hour_us;
    if (rolling_ && rolling_->hour <= hour) {
        rolling_.reset();
    }
    next_ = std::max(next_, hour + 1);
    return database.run(fmt::format("DELETE FROM usage_hours WHERE hour <= {0}; DELETE FROM usage_rolled WHERE hour <= {0}", hour).c_str());
}

base::Result<bool> UsageRoller::step(Database& database, base::WallTime now)
{
    const std::int64_t horizon = (now - std::chrono::duration_cast<std::chrono::microseconds>(grace)).time_since_epoch().count() / hour_us;
    const auto others = changed_by_others(database);
    if (!others) {
        return others;
    }
    if (*others) { // every hour may lack its sums, and what was read of one may lack records; not now: more may be coming
        const auto begun = begin(database);
        return begun ? base::Result<bool>{false} : std::unexpected(begun.error());
    }
    if (!rolling_) {
        const auto chosen = choose(database, horizon);
        if (!chosen || !*chosen) {
            return chosen;
        }
    }
    const auto rows = read(database);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    if (*rows < rows_a_step) {
        if (auto done = finish(database); !done) {
            return std::unexpected(done.error());
        }
    }
    return true;
}

/// The next hour that is over, has records and no sums. False: there is none.
base::Result<bool> UsageRoller::choose(Database& database, std::int64_t horizon)
{
    while (next_ < horizon) {
        const auto at = database.integer(fmt::format("SELECT coalesce(min(at), {}) FROM requests WHERE at >= {}",
                                                     std::numeric_limits<std::int64_t>::max(), next_ * hour_us).c_str());
        if (!at) {
            return std::unexpected(at.error());
        }
        next_ = std::min(*at / hour_us, horizon);
        if (next_ == horizon) {
            break;
        }
        const auto kept = database.integer(fmt::format("SELECT count(*) FROM usage_rolled WHERE hour = {}", next_).c_str());
        if (!kept) {
            return std::unexpected(kept.error());
        }
        if (*kept == 0) {
            rolling_.emplace(next_);
            return true;
        }
        ++next_;
    }
    return false;
}

/// Some rows more of the hour; how many.
base::Result<int> UsageRoller::read(Database& database)
{
    Hour& now = *rolling_;
    auto statement = database.prepare(fmt::format("SELECT {}, seq, {}, tags <> '[]', model, node, key, client, node || char(10) || model FROM requests "
                                                  "WHERE (at, seq) > (?, ?) AND at < ? ORDER BY at, seq LIMIT {}", sample_columns, wants_model_condition(), rows_a_step));
    if (!statement) {
        return std::unexpected(statement.error());
    }
    auto tags = database.prepare("SELECT tag FROM request_tags WHERE seq = ?");
    if (!tags) {
        return std::unexpected(tags.error());
    }
    statement->bind(1, now.at_us);
    statement->bind(2, now.seq);
    statement->bind(3, (now.hour + 1) * hour_us);
    for (int rows = 0;; ++rows) {
        const auto row = statement->step();
        if (!row || !*row) {
            return row ? base::Result<int>{rows} : std::unexpected(row.error());
        }
        UsageSample sample = sample_of(*statement);
        now.at_us = statement->integer(0);
        now.seq = statement->integer(sample_column_count);
        if (statement->integer(sample_column_count + 1) == 0) {
            continue; // it wants no model
        }
        int column = sample_column_count + 3;
        for (const UsageBy by : {UsageBy::model, UsageBy::node, UsageBy::key, UsageBy::client, UsageBy::model_on_node}) {
            sample.name = statement->text(column++);
            feed(now.sums[static_cast<std::size_t>(by)], sample);
        }
        if (statement->integer(sample_column_count + 2) != 0) {
            if (auto done = add_tags(*tags, now.seq, sample); !done) {
                return std::unexpected(done.error());
            }
        }
    }
}

base::Result<void> UsageRoller::add_tags(Statement& tags, std::int64_t seq, const UsageSample& sample)
{
    tags.reset();
    tags.bind(1, seq);
    for (;;) {
        const auto row = tags.step();
        if (!row || !*row) {
            return row ? base::Result<void>{} : std::unexpected(row.error());
        }
        UsageSample tagged = sample;
        tagged.name = tags.text(0);
        feed(rolling_->sums[static_cast<std::size_t>(UsageBy::tag)], tagged);
    }
}

base::Result<void> UsageRoller::finish(Database& database)
{
    if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) {
        return begun;
    }
    const auto others = changed_by_others(database); // nobody can any more
    if (others && *others) {
        return database.run("ROLLBACK"); // the next step sees it, too
    }
    auto done = others ? keep(database) : std::unexpected(others.error());
    if (done) {
        done = database.run("COMMIT");
    }
    if (!done) {
        (void)database.run("ROLLBACK");
        return done;
    }
    rolled_until_ = std::max(rolled_until_, rolling_->hour + 1);
    next_ = std::max(next_, rolling_->hour + 1);
    rolling_.reset();
    return {};
}

base::Result<void> UsageRoller::keep(Database& database)
{
    auto put = database.prepare("INSERT INTO usage_hours (kind, hour, name, cell) VALUES (?, ?, ?, ?)");
    if (!put) {
        return std::unexpected(put.error());
    }
    std::int64_t kept = 0;
    for (const UsageBy by : every_kind) {
        const auto& cells = rolling_->sums[static_cast<std::size_t>(by)].cells();
        if (cells.size() > names_max) {
            continue;
        }
        kept |= bit(by);
        for (const auto& [key, cell] : cells) {
            const std::string bytes = pack_cell(cell);
            put->bind(1, std::int64_t{static_cast<int>(by)});
            put->bind(2, rolling_->hour);
            put->bind(3, key.second);
            put->bind_bytes(4, bytes);
            if (auto done = ran(*put); !done) {
                return done;
            }
        }
    }
    return database.run(fmt::format("INSERT INTO usage_rolled (hour, kinds) VALUES ({}, {})", rolling_->hour, kept).c_str());
}

} // namespace herd::store::internal
