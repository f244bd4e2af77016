#pragma once
// The tables of request records and how a record becomes a row and back. Internal to the room.
// A new column is a new step at the end; steps that were released are never changed.
#include "store/internal/sqlite.hpp"
#include "store/request_record.hpp"

#include <array>
#include <string>

namespace herd::store::internal {

inline constexpr std::array<const char*, 5> trace_schema{
    R"(
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,              -- arrival; microseconds of the epoch, like all times here
    client TEXT NOT NULL, key TEXT NOT NULL, frontend TEXT NOT NULL,
    api TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    model TEXT NOT NULL, requested_model TEXT NOT NULL, node TEXT NOT NULL,
    attempts TEXT NOT NULL,           -- JSON [[node, outcome, us], ...]
    attempt_count INTEGER NOT NULL,
    status INTEGER NOT NULL, termination TEXT NOT NULL, stream INTEGER NOT NULL,
    tags TEXT NOT NULL,               -- JSON [text, ...]
    session TEXT NOT NULL, priority TEXT NOT NULL,
    prompt_tokens INTEGER, cached_tokens INTEGER, output_tokens INTEGER,
    queue INTEGER NOT NULL, connect INTEGER NOT NULL, ttft INTEGER NOT NULL, total INTEGER NOT NULL,
    load INTEGER, prompt_eval INTEGER, eval INTEGER,
    tokens_per_s REAL,
    bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
    fallback INTEGER NOT NULL,
    error TEXT NOT NULL,
    decision TEXT NOT NULL
);
CREATE INDEX requests_id ON requests (id);
CREATE INDEX requests_at ON requests (at);
CREATE INDEX requests_model ON requests (model, at);
CREATE INDEX requests_node ON requests (node, model, at);
CREATE TABLE request_tags (tag TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tag, seq)) WITHOUT ROWID;
CREATE INDEX request_tags_seq ON request_tags (seq);
)",
    R"(
ALTER TABLE requests ADD COLUMN labels TEXT NOT NULL DEFAULT '[]'; -- JSON [text, ...]
ALTER TABLE requests ADD COLUMN num_ctx_asked INTEGER;
ALTER TABLE requests ADD COLUMN num_ctx_used INTEGER;
ALTER TABLE requests ADD COLUMN done_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
)",
    // Every row paid for these, in places all over the file. A list, a sum or an id of ours finds its rows by time well
    // enough; an id that a client chose is looked for in all rows.
    "DROP INDEX requests_model; DROP INDEX requests_node; DROP INDEX requests_id",
    // Sums of whole hours (UsageRoller), which it fills from the records that are there by and by.
    R"(
CREATE TABLE usage_hours (
    kind INTEGER NOT NULL,            -- UsageBy
    hour INTEGER NOT NULL,            -- hours of the epoch
    name TEXT NOT NULL,
    cell BLOB NOT NULL,               -- pack_cell()
    PRIMARY KEY (kind, hour, name)
) WITHOUT ROWID;
CREATE INDEX usage_hours_hour ON usage_hours (hour);
CREATE TABLE usage_rolled (hour INTEGER PRIMARY KEY, kinds INTEGER NOT NULL); -- which hours are summed up, and by what: bits
)",
    // They counted whatever was asked for, and are made anew of what wants a model: its records are all still there.
    "DELETE FROM usage_hours; DELETE FROM usage_rolled"};

/// All columns, in the order of bind_row() and read_row().
inline constexpr const char* trace_columns =
    "seq, id, at, client, key, frontend, api, method, path, model, requested_model, node, attempts, attempt_count, status, "
    "termination, stream, tags, session, priority, prompt_tokens, cached_tokens, output_tokens, queue, connect, ttft, total, "
    "load, prompt_eval, eval, tokens_per_s, bytes_in, bytes_out, fallback, error, decision, labels, num_ctx_asked, num_ctx_used, "
    "done_reason, user_agent";
inline constexpr int trace_column_count = 41;
/// Of a row whose record wants_model().
[[nodiscard]] const std::string& wants_model_condition();

/// For a connection that writes; they must come before the first table, too.
inline constexpr const char* trace_pragmas = "PRAGMA auto_vacuum = INCREMENTAL;"
                                             "PRAGMA journal_mode = WAL;"
                                             "PRAGMA synchronous = NORMAL;" // a power cut may cost the last moments, never the file
                                             "PRAGMA journal_size_limit = 16777216;"
                                             "PRAGMA foreign_keys = OFF;"
                                             "PRAGMA temp_store = MEMORY";
/// One statement for so many rows; a row whose number is taken is left out.
[[nodiscard]] std::string insert_of(std::size_t rows);
/// How much data is in the file, in bytes.
inline constexpr const char* trace_bytes = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

/// Texts that the row borrows while it is written.
struct RowTexts {
    std::string attempts{};
    std::string tags{};
    std::string labels{};
};
/// `row`: of a statement that takes several. Those after the first have the numbers that follow, which SQLite gives them
/// for less than what it costs to look whether a number is free.
void bind_row(Statement& statement, const RequestRecord& record, RowTexts& texts, int row = 0);
[[nodiscard]] RequestRecord read_row(const Statement& statement);

} // namespace herd::store::internal
