#include "store/internal/trace_writer.hpp"

#include "base/log.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::store::internal {

namespace {

constexpr base::Duration retry_interval = std::chrono::seconds{5};
constexpr base::Duration maintenance_interval = std::chrono::seconds{60};
constexpr std::int64_t forget_step = 2000;
constexpr int forget_steps_max = 50; // per round: a huge leftover goes over several minutes

} // namespace

base::Result<void> TraceWriter::open()
{
    if (database_) {
        return {};
    }
    auto database = Database::open(path_, Database::Mode::write);
    if (!database) {
        return std::unexpected(database.error());
    }
    if (auto done = database->run(trace_pragmas); !done) {
        return done;
    }
    if (auto done = migrate(*database, trace_schema); !done) {
        return done;
    }
    auto insert = database->prepare(insert_of(1));
    auto insert_many = database->prepare(insert_of(together));
    auto insert_tag = database->prepare("INSERT OR IGNORE INTO request_tags (tag, seq) VALUES (?, ?)");
    auto newest = database->prepare("SELECT coalesce(max(seq), 0) FROM requests");
    for (const auto* const statement : {&insert, &insert_many, &insert_tag, &newest}) {
        if (!*statement) {
            return std::unexpected(statement->error());
        }
    }
    if (auto done = roller_.begin(*database); !done) {
        return done;
    }
    database_.emplace(std::move(*database));
    insert_ = std::move(*insert);
    insert_many_ = std::move(*insert_many);
    insert_tag_ = std::move(*insert_tag);
    newest_ = std::move(*newest);
    return {};
}

void TraceWriter::write(Records records)
{
    if (clock_.now() < retry_at_) {
        picture_.dropped += records.size();
        return;
    }
    auto done = open();
    if (!done && done.error().code == base::Errc::malformed) {
        failed(done.error()); // sets it aside
        done = open();
    }
    if (done) {
        done = insert(records);
    }
    if (!done) {
        picture_.dropped += records.size();
        failed(done.error());
        return;
    }
    picture_.written += records.size();
    picture_.working = true;
    picture_.fault.clear();
}

base::Result<void> TraceWriter::insert(Records records)
{
    if (auto begun = database_->run("BEGIN IMMEDIATE"); !begun) {
        return begun;
    }
    auto done = insert_all(records);
    if (done) {
        done = database_->run("COMMIT");
    }
    if (!done) {
        for (Statement* const statement : {&insert_, &insert_many_, &insert_tag_, &newest_}) {
            statement->reset();
        }
        (void)database_->run("ROLLBACK");
    }
    return done;
}

base::Result<void> TraceWriter::insert_all(Records records)
{
    const auto row = newest_.step();
    if (!row) {
        return std::unexpected(row.error());
    }
    auto newest = static_cast<std::uint64_t>(newest_.integer(0));
    newest_.reset();
    while (!records.empty()) {
        const Records next = records.first(std::min(records.size(), together));
        // As always unless the clock was set back or some were dropped: no number is taken, and each follows the last.
        std::uint64_t due = next.front()->seq;
        bool in_line = due > newest;
        for (const auto& record : next) {
            in_line = in_line && record->seq == due++;
            newest = std::max(newest, record->seq);
        }
        if (next.size() == together && in_line) {
            if (auto done = insert_rows(insert_many_, next); !done) {
                return done;
            }
        } else {
            for (std::size_t i = 0; i < next.size(); ++i) {
                if (auto done = insert_rows(insert_, next.subspan(i, 1)); !done) {
                    return done;
                }
            }
        }
        records = records.subspan(next.size());
    }
    return {};
}

/// One statement: a row each. Several have numbers that follow each other and are not taken.
base::Result<void> TraceWriter::insert_rows(Statement& statement, Records records)
{
    for (std::size_t i = 0; i < records.size(); ++i) {
        bind_row(statement, *records[i], texts_[i], static_cast<int>(i));
    }
    const auto written = statement.step();
    statement.reset();
    if (!written) {
        return std::unexpected(written.error());
    }
    const bool are_new = database_->changes() > 0;
    for (const auto& record : records) {
        auto done = insert_tags(*record);
        if (done && are_new) {
            done = roller_.wrote(*database_, *record);
        }
        if (!done) {
            return done;
        }
    }
    return {};
}

base::Result<void> TraceWriter::insert_tags(const RequestRecord& record)
{
    for (const std::string& tag : record.tags) {
        insert_tag_.bind(1, tag);
        insert_tag_.bind(2, static_cast<std::int64_t>(record.seq));
        const auto written = insert_tag_.step();
        insert_tag_.reset();
        if (!written) {
            return std::unexpected(written.error());
        }
    }
    return {};
}

bool TraceWriter::roll()
{
    if (!database_) {
        return false;
    }
    const auto more = roller_.step(*database_, clock_.wall());
    if (!more) {
        failed(more.error());
        return false;
    }
    return *more;
}

/// A broken file is set aside, so that a person can look at it, and the next batch begins a new one.
void TraceWriter::failed(const base::Error& error)
{
    picture_.working = false;
    picture_.fault = error.message();
    insert_ = {};
    insert_many_ = {};
    insert_tag_ = {};
    newest_ = {};
    database_.reset();
    if (error.code != base::Errc::malformed) {
        retry_at_ = clock_.now() + retry_interval;
        return;
    }
    log::warn("store", "records_set_aside", {{"file", path_}, {"why", error.message()}, {"now", path_ + ".bad"}});
    set_aside(path_);
    for (const char* suffix : {"-wal", "-shm"}) {
        ::unlink((path_ + suffix).c_str());
    }
}

void TraceWriter::maintain(const TraceLimits& limits)
{
    const base::Instant now = clock_.now();
    if (now < retry_at_ || (maintained_at_ != base::Instant{} && now - maintained_at_ < maintenance_interval)) {
        return;
    }
    maintained_at_ = now;
    auto done = open();
    if (done && !picture_.working) { // a full disk opens as well as any other, and forgetting nothing writes nothing
        done = try_to_write();
    }
    if (done) {
        done = forget(limits);
    }
    if (!done) {
        failed(done.error());
        return;
    }
    picture_.working = true;
    picture_.fault.clear();
}

/// As much as a batch takes: room for a page alone is no room.
base::Result<void> TraceWriter::try_to_write()
{
    constexpr const char* trial = "BEGIN IMMEDIATE; DROP TABLE IF EXISTS trial; CREATE TABLE trial (page BLOB); INSERT INTO trial VALUES (zeroblob(65536)); COMMIT";
    auto done = database_->run(trial);
    if (!done) {
        return done; // whatever is open ends with the connection
    }
    return database_->run("DROP TABLE trial");
}

base::Result<void> TraceWriter::forget(const TraceLimits& limits)
{
    const auto age = std::chrono::duration_cast<std::chrono::microseconds>(limits.retention);
    const std::int64_t before = (clock_.wall() - age).time_since_epoch().count();
    for (int step = 0; step < forget_steps_max; ++step) {
        const auto gone = drop_oldest(before, forget_step);
        if (!gone) {
            return std::unexpected(gone.error());
        }
        if (*gone < forget_step) {
            break;
        }
    }
    auto bytes = data_bytes();
    for (int step = 0; bytes && limits.max_size > 0 && *bytes > static_cast<std::int64_t>(limits.max_size)
                       && step < forget_steps_max; ++step) {
        const auto gone = drop_oldest(std::numeric_limits<std::int64_t>::max(), forget_step);
        if (!gone) {
            return std::unexpected(gone.error());
        }
        bytes = *gone == 0 ? base::Result<std::int64_t>{0} : data_bytes();
    }
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    picture_.bytes = static_cast<std::uint64_t>(*bytes);
    return database_->run("PRAGMA incremental_vacuum(4096)");
}

base::Result<std::int64_t> TraceWriter::drop_oldest(std::int64_t before_us, std::int64_t count)
{
    const auto chosen_of = [&](const char* what) {
        return fmt::format("SELECT {} FROM requests WHERE at < {} ORDER BY at LIMIT {}", what, before_us, count);
    };
    const std::string chosen = chosen_of("seq");
    const auto last = database_->integer(fmt::format("SELECT coalesce(max(at), -1) FROM ({})", chosen_of("at")).c_str());
    if (!last || *last < 0) {
        return last ? base::Result<std::int64_t>{0} : std::unexpected(last.error());
    }
    if (auto begun = database_->run("BEGIN IMMEDIATE"); !begun) {
        return std::unexpected(begun.error());
    }
    auto done = database_->run(fmt::format("DELETE FROM request_tags WHERE seq IN ({})", chosen).c_str());
    if (done) {
        done = database_->run(fmt::format("DELETE FROM requests WHERE seq IN ({})", chosen).c_str());
    }
    const std::int64_t gone = done ? database_->changes() : 0;
    if (done) {
        done = roller_.forgot(*database_, *last);
    }
    if (done) {
        done = database_->run("COMMIT");
    }
    if (!done) {
        (void)database_->run("ROLLBACK");
        return std::unexpected(done.error());
    }
    picture_.forgotten += static_cast<std::uint64_t>(gone);
    return gone;
}

base::Result<std::int64_t> TraceWriter::data_bytes()
{
    return database_->integer(trace_bytes);
}

} // namespace herd::store::internal
