#pragma once
// What Ollama Herd remembers of requests, as records of ours. Pure. Source: reference/parity.md 2.10. Its table has a row for
// each attempt: "retried" where another one was to follow, and one for how the last ended, all with the request's id.
#include "store/foreign_rows.hpp"
#include "store/request_record.hpp"

#include <array>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace herd::app::import {

inline constexpr const char* trace_table = "request_traces";
inline constexpr std::size_t trace_columns_required = 4;
/// In the order of trace_of(). All but the last were always there.
inline constexpr std::array<const char*, 17> trace_columns{
    "request_id", "model", "status", "timestamp", "original_model", "node_id", "latency_ms", "time_to_first_token_ms", "prompt_tokens",
    "completion_tokens", "retry_count", "fallback_used", "excluded_nodes", "client_ip", "original_format", "error_message", "tags"};

enum class TraceStatus : std::uint8_t { completed, failed, retried, client_disconnected, incomplete, no_output };

/// One row, what of it makes sense.
struct Trace {
    std::string id{};
    TraceStatus status{TraceStatus::completed};
    base::WallTime ended{};
    std::string model{};
    std::string asked{};
    std::string node{};
    base::Duration took{};  ///< of this attempt; 0: not known
    base::Duration first{}; ///< to its first token; 0: none came, or not known
    std::optional<std::int64_t> prompt_tokens{};
    std::optional<std::int64_t> output_tokens{};
    std::int64_t retries{0};
    bool fallback{false};
    std::vector<std::string> excluded{};
    std::string client{};
    std::string api{};
    std::string error{};
    std::vector<std::string> tags{};
    bool lessened{false}; ///< a value made no sense and is left out
};

/// Nothing: the row makes no sense, for want of an id, a model, a time before `now`, or a status that is known.
[[nodiscard]] std::optional<Trace> trace_of(const store::ForeignCells& cells, base::WallTime now);

/// The rows of one request, the last one first. As herd would have it: one record, from its arrival on. Without the number.
[[nodiscard]] store::RequestRecord record_of(std::vector<Trace> rows);
/// Only "retried" is known of it, and that is not long ago: its last attempt may be running.
[[nodiscard]] bool may_run(const std::vector<Trace>& rows, base::WallTime now);

/// Brings together the rows of one request, which lie near each other, in bounded memory: a request leaves when so many
/// others have come since its first row.
class TraceWindow {
public:
    explicit TraceWindow(std::size_t most) : most_(most) {}
    using Rows = std::vector<Trace>;
    /// The request that leaves for it, if one does.
    [[nodiscard]] std::optional<Rows> add(Trace trace);
    /// Those that are left, one by one.
    [[nodiscard]] std::optional<Rows> next();

private:
    std::size_t most_;
    std::list<Rows> requests_{}; // the first came first
    std::unordered_map<std::string, std::list<Rows>::iterator> by_id_{};
};

} // namespace herd::app::import
