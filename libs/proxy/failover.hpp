#pragma once
// Retry elsewhere, give up, or pass on what came: one pure decision per failed or finished attempt.
// Only reached while the client has seen nothing; after the first byte nothing can be taken back.
// Source: design/scheduling.md 5; reference/ollama-api.md 2.3, 3.8; reference/parity.md 1.4.
#include "base/error.hpp"
#include "fleet/profile.hpp"
#include "http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace herd::proxy {

/// How far an attempt had come.
enum class Phase : std::uint8_t {
    connecting, ///< nothing was sent
    sent,       ///< a byte of the request may have arrived; nothing came back
    answered,   ///< a head came back
};

/// An error that the agent's gateway made by itself says so in a field, and what its Ollama knows of the request.
inline constexpr std::string_view gateway_field = "X-Herd-Gateway";
inline constexpr std::string_view gateway_untouched = "untouched"; ///< nothing
inline constexpr std::string_view gateway_broken = "broken";       ///< it may have begun, and broke off
inline constexpr std::string_view gateway_late = "late";           ///< a tool's time was over: its words are the answer

enum class MadeBy : std::uint8_t { ollama, gateway_untouched, gateway_broken, late_tool };
[[nodiscard]] MadeBy made_by(const http::Fields& answer);

struct AttemptFacts {
    Phase phase{Phase::connecting};
    std::optional<base::Errc> error{}; ///< of a broken attempt
    int status{0};                     ///< of an answered one
    bool json{false};                  ///< the answer's content type is JSON
    MadeBy made_by{MadeBy::ollama};    ///< the answer
    std::string_view body{};           ///< its beginning, of answers that looks_failed()
    bool names_model{false};           ///< the request was sent there because the catalog lists the model
    bool as_listed{true};              ///< and spells it as the catalog does: some routes of Ollama tell spellings apart
    bool replayable{false};            ///< the route may be repeated although work may have begun
    bool body_kept{true};              ///< the request's body is still there to be sent
    bool reused{false};                ///< the connection had served before: it may have been stale
};

enum class Verdict : std::uint8_t {
    pass,        ///< the client gets this answer
    elsewhere,   ///< another node, if the scheduler has one
    same_again,  ///< once more at the same node, on a fresh connection; does not count as an attempt
    give_up,     ///< an error of our own
};

struct Decision {
    Verdict verdict{Verdict::pass};
    fleet::Result result{fleet::Result::served};
    std::string reason{}; ///< of a failure, one short phrase for logs and records
};

/// The statuses whose body must be read before deciding.
[[nodiscard]] bool looks_failed(int status);
[[nodiscard]] Decision decide(const AttemptFacts& facts);

} // namespace herd::proxy
