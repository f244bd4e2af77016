#include "store/trace_reader.hpp"

#include "base/request_id.hpp"
#include "store/internal/trace_schema.hpp"
#include "store/internal/usage_roller.hpp"
#include "store/internal/usage_rows.hpp"

#include <functional>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::store {

namespace {

using internal::Database;
using internal::Statement;

struct Patience {
    const base::Clock& clock;
    base::Instant until;
};

bool late(void* context)
{
    const auto* const patience = static_cast<const Patience*>(context);
    return patience->clock.now() >= patience->until;
}

std::int64_t us(base::WallTime time) { return time.time_since_epoch().count(); }

/// Conditions with their values, in order.
class Where {
public:
    void add(std::string_view condition) { text_ += (text_.empty() ? " WHERE " : " AND ") + std::string{condition}; }
    void add(std::string_view condition, std::string_view value)
    {
        add(condition);
        binds_.emplace_back([value](Statement& statement, int at) { statement.bind(at, value); });
    }
    void add(std::string_view condition, std::int64_t value)
    {
        add(condition);
        also(value);
    }
    /// A further value of the last condition.
    void also(std::int64_t value)
    {
        binds_.emplace_back([value](Statement& statement, int at) { statement.bind(at, value); });
    }
    [[nodiscard]] const std::string& text() const { return text_; }
    void bind(Statement& statement) const
    {
        for (std::size_t i = 0; i < binds_.size(); ++i) {
            binds_[i](statement, static_cast<int>(i) + 1);
        }
    }

private:
    std::string text_;
    std::vector<std::function<void(Statement&, int)>> binds_;
};

/// `filter` outlives the result.
Where conditions_of(const TraceFilter& filter)
{
    Where where;
    if (!filter.model.empty()) {
        where.add("(model = ?1 OR requested_model = ?1)", filter.model); // the first: numbered
    }
    if (!filter.node.empty()) {
        where.add("node = ?", filter.node);
    }
    if (!filter.key.empty()) {
        where.add("key = ?", filter.key);
    }
    if (!filter.client.empty()) {
        where.add("client = ?", filter.client);
    }
    if (!filter.tag.empty()) {
        where.add("seq IN (SELECT seq FROM request_tags WHERE tag = ?)", filter.tag);
    }
    switch (filter.status.kind) {
    case StatusFilter::Kind::any: break;
    case StatusFilter::Kind::codes:
        where.add("status BETWEEN ? AND ?", filter.status.first);
        where.also(filter.status.last);
        break;
    case StatusFilter::Kind::ok: where.add("status < 400 AND termination LIKE '-%'"); break;
    case StatusFilter::Kind::failed:
        where.add("(status >= 500 OR termination LIKE 'N%' OR termination LIKE 'T%')");
        break;
    }
    if (filter.models_alone) {
        where.add(internal::wants_model_condition());
    }
    if (filter.since) {
        where.add("at >= ?", us(*filter.since));
    }
    if (filter.before) {
        where.add("(at, seq) < (?, ?)", filter.before->at_us);
        where.also(static_cast<std::int64_t>(filter.before->seq));
    }
    return where;
}

/// The file, or nothing when there is none yet.
base::Result<std::optional<Database>> open(const std::string& path)
{
    if (::access(path.c_str(), F_OK) != 0) {
        return std::optional<Database>{};
    }
    auto database = Database::open(path, Database::Mode::read);
    if (!database) {
        return std::unexpected(database.error());
    }
    const auto version = database->integer("PRAGMA user_version");
    if (!version) {
        return std::unexpected(version.error());
    }
    if (*version != static_cast<std::int64_t>(internal::trace_schema.size())) {
        return std::optional<Database>{}; // not made yet, or another herd's
    }
    return std::optional<Database>{std::move(*database)};
}

base::Result<std::vector<RequestRecord>> rows_of(Statement& statement)
{
    std::vector<RequestRecord> records;
    for (;;) {
        const auto row = statement.step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return records;
        }
        records.push_back(internal::read_row(statement));
    }
}

/// Adds up the rows of one kind.
class RowSum {
public:
    static base::Result<RowSum> make(Database& database, UsageBy by)
    {
        auto statement = database.prepare(fmt::format("SELECT {}, {} FROM {} WHERE at >= ? AND at < ? AND {}", internal::sample_columns, internal::name_column(by),
                                                      by == UsageBy::tag ? "requests JOIN request_tags USING (seq)" : "requests",
                                                      internal::wants_model_condition()));
        return statement ? base::Result<RowSum>{RowSum(std::move(*statement))} : std::unexpected(statement.error());
    }
    base::Result<void> add(std::int64_t since_us, std::int64_t until_us, UsageSum& sum)
    {
        if (since_us >= until_us) {
            return {};
        }
        statement_.reset();
        statement_.bind(1, since_us);
        statement_.bind(2, until_us);
        for (;;) {
            const auto row = statement_.step();
            if (!row || !*row) {
                return row ? base::Result<void>{} : std::unexpected(row.error());
            }
            UsageSample sample = internal::sample_of(statement_);
            sample.name = statement_.text(internal::sample_column_count);
            sum.add(sample);
        }
    }

private:
    explicit RowSum(Statement statement) : statement_(std::move(statement)) {}
    Statement statement_;
};

/// Which of the query's hours are summed up, in order.
base::Result<std::vector<std::int64_t>> rolled_hours(Database& database, const UsageQuery& query)
{
    std::vector<std::int64_t> hours;
    if (query.bucket.count() % 3600 != 0) { // an hour would lie in several buckets
        return hours;
    }
    auto statement = database.prepare("SELECT hour FROM usage_rolled WHERE hour >= ? AND hour < ? AND kinds & ? ORDER BY hour");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, (us(query.since) + internal::hour_us - 1) / internal::hour_us);
    statement->bind(2, us(query.until) / internal::hour_us);
    statement->bind(3, std::int64_t{1} << static_cast<int>(query.by));
    for (;;) {
        const auto row = statement->step();
        if (!row || !*row) {
            return row ? base::Result<std::vector<std::int64_t>>{std::move(hours)} : std::unexpected(row.error());
        }
        hours.push_back(statement->integer(0));
    }
}

/// Their sums. Hours between the first and the last that are not summed up have none.
base::Result<void> add_hours(Database& database, UsageBy by, std::int64_t first, std::int64_t last, UsageSum& sum)
{
    auto statement = database.prepare("SELECT hour, name, cell FROM usage_hours WHERE kind = ? AND hour >= ? AND hour <= ?");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, std::int64_t{static_cast<int>(by)});
    statement->bind(2, first);
    statement->bind(3, last);
    for (;;) {
        const auto row = statement->step();
        if (!row || !*row) {
            return row ? base::Result<void>{} : std::unexpected(row.error());
        }
        const auto cell = internal::unpack_cell(statement->text(2));
        if (!cell) {
            return base::fail(base::Errc::malformed, "a sum of requests makes no sense");
        }
        sum.add({statement->integer(0) * 3600, std::string(statement->text(1))}, *cell);
    }
}

} // namespace

base::Result<std::vector<RequestRecord>> TraceReader::list(const TraceFilter& filter) const
{
    auto database = open(path_);
    if (!database) {
        return std::unexpected(database.error());
    }
    if (!*database) {
        return std::vector<RequestRecord>{};
    }
    Patience patience{clock_, clock_.now() + patience_};
    (*database)->interrupt_when(late, &patience);
    const Where where = conditions_of(filter);
    auto statement = (*database)->prepare(fmt::format("SELECT {} FROM requests{} ORDER BY at DESC, seq DESC LIMIT {}",
                                                      internal::trace_columns, where.text(), filter.limit));
    if (!statement) {
        return std::unexpected(statement.error());
    }
    where.bind(*statement);
    return rows_of(*statement);
}

base::Result<std::optional<RequestRecord>> TraceReader::find(const std::string& id) const
{
    auto database = open(path_);
    if (!database) {
        return std::unexpected(database.error());
    }
    if (!*database) {
        return std::optional<RequestRecord>{};
    }
    Patience patience{clock_, clock_.now() + patience_};
    (*database)->interrupt_when(late, &patience);
    const auto first = us(base::time_of_request_id(id));
    for (const auto* where : {"at >= ? AND at < ? AND id = ?", "? <= ? AND id = ?"}) { // one of ours; else anywhere
        auto statement = (*database)->prepare(fmt::format("SELECT {} FROM requests WHERE {} ORDER BY at DESC, seq DESC LIMIT 1",
                                                          internal::trace_columns, where));
        if (!statement) {
            return std::unexpected(statement.error());
        }
        statement->bind(1, first);
        statement->bind(2, first + 1000);
        statement->bind(3, id);
        auto rows = rows_of(*statement);
        if (!rows) {
            return std::unexpected(rows.error());
        }
        if (!rows->empty()) {
            return std::move(rows->front());
        }
    }
    return std::optional<RequestRecord>{};
}

base::Result<void> TraceReader::past(base::WallTime since, base::WallTime until, std::size_t most,
                                     const std::function<void(const RequestRecord&)>& take) const
{
    auto database = open(path_);
    if (!database || !*database) {
        return database ? base::Result<void>{} : std::unexpected(database.error());
    }
    Patience patience{clock_, clock_.now() + patience_};
    (*database)->interrupt_when(late, &patience);
    // The index on `at` finds where the newest ones begin; then they are read forwards.
    auto statement = (*database)->prepare(fmt::format(
        "SELECT {} FROM requests WHERE at < ?1 AND at >= max(?2, coalesce((SELECT at FROM requests WHERE at < ?1 ORDER BY at DESC "
        "LIMIT 1 OFFSET {}), ?2)) ORDER BY at, seq",
        internal::trace_columns, most == 0 ? 0 : most - 1));
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, us(until));
    statement->bind(2, us(since));
    for (;;) {
        const auto row = statement->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return {};
        }
        take(internal::read_row(*statement));
    }
}

base::Result<void> TraceReader::sum(const UsageQuery& query, UsageSum& sum) const
{
    auto database = open(path_);
    if (!database || !*database) {
        return database ? base::Result<void>{} : std::unexpected(database.error());
    }
    Patience patience{clock_, clock_.now() + patience_};
    (*database)->interrupt_when(late, &patience);
    // One picture of rows and sums, though records are written and hours added up meanwhile.
    if (auto begun = (*database)->run("BEGIN"); !begun) {
        return begun;
    }
    const auto hours = rolled_hours(**database, query);
    auto rows = RowSum::make(**database, query.by);
    if (!hours || !rows) {
        return std::unexpected(hours ? rows.error() : hours.error());
    }
    std::int64_t from = us(query.since);
    for (const std::int64_t hour : *hours) {
        if (auto done = rows->add(from, hour * internal::hour_us, sum); !done) {
            return done;
        }
        from = (hour + 1) * internal::hour_us;
    }
    if (auto done = rows->add(from, us(query.until), sum); !done) {
        return done;
    }
    return hours->empty() ? base::Result<void>{} : add_hours(**database, query.by, hours->front(), hours->back(), sum);
}

} // namespace herd::store
