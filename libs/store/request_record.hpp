#pragma once
// What is remembered of one request when it is over, in the store's own words: every field of the contract's
// RequestRecord, and never a prompt or an answer. Plain values.
// Source: design/contract.md 3 (RequestRecord), reference/parity.md 2.10.
#include "base/time.hpp"
#include "store/request_class.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::store {

struct RecordedAttempt {
    std::string node{};
    std::string outcome{};
    base::Duration took{};
};

/// Numbers of herd's own requests, which begin with the microsecond of its start, lie above; those of records that were
/// taken over from another program below.
inline constexpr std::uint64_t own_seq_min = std::uint64_t{1} << 50;

struct RequestRecord {
    std::uint64_t seq{0}; ///< order of ending; unique, grows over restarts
    std::string id{};
    base::WallTime at{};  ///< arrival
    std::string client{};
    std::string key{};
    std::string frontend{};
    std::string api{};
    std::string method{};
    std::string path{};
    std::string model{};
    std::string requested_model{};
    std::string node{};
    std::vector<RecordedAttempt> attempts{};
    int status{0};
    std::string termination{"--"};
    bool stream{false};
    std::vector<std::string> tags{};
    std::string session{};
    std::string priority{};
    std::optional<std::int64_t> prompt_tokens{};
    std::optional<std::int64_t> cached_tokens{};
    std::optional<std::int64_t> output_tokens{};
    base::Duration queue{};
    base::Duration connect{};
    base::Duration ttft{};
    base::Duration total{};
    std::optional<base::Duration> load{};
    std::optional<base::Duration> prompt_eval{};
    std::optional<base::Duration> eval{};
    std::optional<double> tokens_per_s{};
    std::uint64_t bytes_in{0};
    std::uint64_t bytes_out{0};
    bool fallback{false};
    std::string error{};
    std::string decision{}; ///< bytes as the app packed them; the store does not look inside
    std::vector<std::string> labels{};
    std::optional<std::int64_t> num_ctx_asked{};
    std::optional<std::int64_t> num_ctx_used{}; ///< that the model was loaded with
    std::string done_reason{};
    std::string user_agent{};

    [[nodiscard]] RequestClass what() const { return class_of(method, path); }
    /// Work for a model: what usage, health and traces are about.
    [[nodiscard]] bool wants_model() const { return what() != RequestClass::other; }

    /// It changed something on several nodes at once: `node` has the names of all that were asked, with commas.
    [[nodiscard]] bool on_several() const
    {
        std::string names;
        for (const RecordedAttempt& attempt : attempts) {
            names.append(names.empty() ? "" : ",").append(attempt.node);
        }
        return attempts.size() > 1 && names == node;
    }
    /// Attempts that followed one another: those on several nodes at once are one.
    [[nodiscard]] std::size_t tries() const { return on_several() ? 1 : attempts.size(); }

    /// Whose fault it was: an answer of 5xx, or an end that the node or a deadline caused. A client's leaving
    /// or its mistakes are no failure.
    [[nodiscard]] bool failed() const
    {
        return status >= 500 || termination.starts_with('N') || termination.starts_with('T');
    }
};

} // namespace herd::store
