#include "store/record_intake.hpp"

#include "net/socket.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/internal/usage_roller.hpp"

#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::store {

namespace {

using base::Result;
using internal::Database;
using internal::Statement;
using Fate = RecordIntake::Fate;

constexpr std::uint64_t same_moment_max = 10'000;

std::unexpected<base::Error> cannot_write(const std::string& path, const base::Error& error)
{
    return base::fail(error.code, fmt::format("cannot write to {}: {}", path, error.context));
}

/// Made by root in the directory of somebody else, it would keep that one's herd out of its own records.
Result<void> make_file(const std::string& path)
{
    const net::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno == EEXIST ? Result<void>{} : base::fail(base::Errc::io, std::error_code(errno, std::generic_category()).message());
    }
    struct ::stat directory{};
    const bool known = ::stat(std::filesystem::path(path).parent_path().c_str(), &directory) == 0;
    if (::geteuid() == 0 && known && ::fchown(fd.get(), directory.st_uid, directory.st_gid) != 0) {
        return base::fail(base::Errc::io, "it cannot be given to its directory's owner");
    }
    return {};
}

Result<bool> stepped(Statement& statement)
{
    auto row = statement.step();
    statement.reset();
    return row;
}

} // namespace

struct RecordIntake::State {
    std::string path;
    Database database{};
    Statement insert{}; // this and the next two are the database's: gone before it
    Statement insert_tag{};
    Statement near{};
    internal::RowTexts texts{};
    std::int64_t hour{-1}; ///< whose sums were dropped in this transaction

    Result<void> open()
    {
        if (auto made = make_file(path); !made) {
            return made;
        }
        auto opened = Database::open(path, Database::Mode::write);
        if (!opened) {
            return std::unexpected(opened.error());
        }
        database = std::move(*opened);
        const auto version = database.integer("PRAGMA user_version");
        if (!version) {
            return std::unexpected(version.error());
        }
        if (*version != 0 && *version != static_cast<std::int64_t>(internal::trace_schema.size())) {
            return base::fail(base::Errc::bad_config, "another version of herd wrote it; start this one once, then it can");
        }
        if (auto done = database.run(internal::trace_pragmas); !done) {
            return done;
        }
        if (auto done = internal::migrate(database, internal::trace_schema); !done) {
            return done;
        }
        auto row = database.prepare(internal::insert_of(1));
        auto tag = database.prepare("INSERT OR IGNORE INTO request_tags (tag, seq) VALUES (?, ?)");
        auto neighbours = database.prepare(fmt::format("SELECT seq, id FROM requests WHERE seq >= ? ORDER BY seq LIMIT {}", same_moment_max));
        for (const auto* const statement : {&row, &tag, &neighbours}) {
            if (!*statement) {
                return std::unexpected(statement->error());
            }
        }
        insert = std::move(*row);
        insert_tag = std::move(*tag);
        near = std::move(*neighbours);
        return {};
    }

    /// The number it gets: the moment of its end, far below the numbers that herd gives, so that one's newest stays its
    /// newest; or the next that is free. Nothing: it is there, and `fate` says why not.
    Result<std::optional<std::uint64_t>> number_of(const RequestRecord& record, Fate& fate)
    {
        const auto ended_us = (record.at + std::chrono::duration_cast<std::chrono::microseconds>(record.total)).time_since_epoch().count();
        std::int64_t number = ended_us - static_cast<std::int64_t>(own_seq_min);
        if (number <= 0 || number >= static_cast<std::int64_t>(own_seq_min)) {
            fate = Fate::no_room;
            return std::nullopt;
        }
        near.bind(1, number);
        for (std::uint64_t seen = 0; seen < same_moment_max; ++seen, ++number) {
            const auto row = near.step();
            if (!row) {
                near.reset();
                return std::unexpected(row.error());
            }
            if (!*row || near.integer(0) != number) {
                near.reset();
                return static_cast<std::uint64_t>(number);
            }
            if (near.text(1) == record.id) {
                near.reset();
                fate = Fate::known;
                return std::nullopt;
            }
        }
        near.reset();
        fate = Fate::no_room;
        return std::nullopt;
    }

    Result<Fate> take_one(const RequestRecord& offered)
    {
        Fate fate = Fate::taken;
        const auto number = number_of(offered, fate);
        if (!number || !*number) {
            return number ? Result<Fate>{fate} : std::unexpected(number.error());
        }
        RequestRecord record = offered;
        record.seq = **number;
        internal::bind_row(insert, record, texts);
        if (const auto done = stepped(insert); !done) {
            return std::unexpected(done.error());
        }
        for (const std::string& tag : record.tags) {
            insert_tag.bind(1, tag);
            insert_tag.bind(2, static_cast<std::int64_t>(record.seq));
            if (const auto done = stepped(insert_tag); !done) {
                return std::unexpected(done.error());
            }
        }
        const std::int64_t its_hour = record.at.time_since_epoch().count() / internal::hour_us;
        if (its_hour != std::exchange(hour, its_hour)) { // herd adds it up anew
            if (auto done = internal::UsageRoller::drop(database, its_hour); !done) {
                return std::unexpected(done.error());
            }
        }
        return Fate::taken;
    }

    Result<std::vector<Fate>> take_some(std::span<const RequestRecord> records, base::Duration hold, const base::Clock& clock)
    {
        std::vector<Fate> fates;
        const auto until = clock.now() + hold;
        hour = -1;
        for (const RequestRecord& record : records) {
            const auto fate = take_one(record);
            if (!fate) {
                return std::unexpected(fate.error());
            }
            fates.push_back(*fate);
            if (clock.now() >= until) {
                break;
            }
        }
        return fates;
    }

    Result<std::vector<Fate>> take(std::span<const RequestRecord> records, base::Duration hold, const base::Clock& clock)
    {
        if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) {
            return std::unexpected(begun.error());
        }
        auto fates = take_some(records, hold, clock);
        const auto committed = fates ? database.run("COMMIT") : Result<void>{};
        if (!committed) {
            fates = std::unexpected(committed.error());
        }
        if (!fates) {
            (void)database.run("ROLLBACK");
        }
        return fates;
    }
};

RecordIntake::RecordIntake(std::unique_ptr<State> state) : state_(std::move(state)) {}
RecordIntake::RecordIntake(RecordIntake&&) noexcept = default;
RecordIntake& RecordIntake::operator=(RecordIntake&&) noexcept = default;
RecordIntake::~RecordIntake() = default;

Result<RecordIntake> RecordIntake::open(const std::string& path)
{
    auto state = std::make_unique<State>();
    state->path = path;
    if (auto opened = state->open(); !opened) {
        return cannot_write(path, opened.error());
    }
    return RecordIntake(std::move(state));
}

Result<std::vector<Fate>> RecordIntake::take(std::span<const RequestRecord> records, base::Duration hold, const base::Clock& clock)
{
    auto fates = state_->take(records, hold, clock);
    return fates ? std::move(fates) : cannot_write(state_->path, fates.error());
}

Result<std::uint64_t> RecordIntake::bytes()
{
    const auto bytes = state_->database.integer(internal::trace_bytes);
    return bytes ? Result<std::uint64_t>{static_cast<std::uint64_t>(*bytes)} : cannot_write(state_->path, bytes.error());
}

} // namespace herd::store
