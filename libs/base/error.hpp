#pragma once
// An error answers four questions: what happened, who caused it, may it be tried again, and where.
// (The questions are Pingora's.) Errors travel as values; exceptions do not cross a library border.
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>

namespace herd::base {

/// What happened. Each line says when it occurs and what the caller should do.
enum class Errc : std::uint8_t {
    // The wire.
    refused,     ///< nobody listens there: try another node now
    reset,       ///< the peer broke the connection: another node, if nothing was committed
    closed,      ///< the peer ended early but orderly: as `reset`
    timed_out,   ///< our deadline passed
    unreachable, ///< no route, or name not resolved
    cancelled,   ///< we were told to stop: not a failure, not logged as one
    in_use,      ///< the address is taken by another program
    io,          ///< any other failure of the operating system; `cause` tells
    // Grammar.
    malformed,   ///< bytes break the grammar: answer 400 and close, never forward
    too_large,   ///< a limit was passed: 413, 414 or 431
    unsupported, ///< well-formed, but we do not do that: 501, 415 or 417
    // Decisions.
    no_such_model,   ///< on no node: 404 in Ollama's words
    no_node,         ///< known model, nobody to serve it: 503
    no_such_label,   ///< no known node carries the label: 400
    queue_full,      ///< 429 with Retry-After
    deadline_passed, ///< waited in the queue too long: 504
    attempts_failed, ///< every node tried failed before its first byte: 502
    forbidden,       ///< policy says no: 403
    not_found,       ///< no such object: 404
    conflict,        ///< exists already, or is in the wrong state: 409
    loop,            ///< the request came past us before: 508
    // Ourselves.
    bad_config, ///< a human wrote something we cannot accept: exit 2, or 400 from the admin API
    internal,   ///< a bug or an exhausted resource of ours: 500
};

enum class Source : std::uint8_t { client, node, self };
enum class Retry : std::uint8_t { never, if_unsent, always };

[[nodiscard]] std::string_view to_string(Errc code);

struct Error {
    Errc code{Errc::internal};
    Source source{Source::self};
    Retry retry{Retry::never};
    std::string context{};       ///< one clear sentence, or the name of the thing; no secret, no prompt
    std::error_code cause{};

    /// "refused: 10.0.0.7:11436 (Connection refused)".
    [[nodiscard]] std::string message() const;
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string context = {}, Source source = Source::self,
                                                 Retry retry = Retry::never)
{
    return std::unexpected(Error{code, source, retry, std::move(context), {}});
}

/// The Errc of an operating system error. Source and retry are for the caller to set.
[[nodiscard]] Errc errc_of(const std::error_code& code);

} // namespace herd::base
