#pragma once
// Which web pages may talk to us: Ollama's rule, applied by herd, because a node must never see the Origin.
// Which Host names it answers to is host_policy.hpp.
// Source: reference/ollama-api.md 1.0 "CORS / Host"; reference/ollama-probe.txt part 1.
#include "http/message.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// Immutable. Thread: any.
class CorsPolicy {
public:
    /// `extra` in the syntax of OLLAMA_ORIGINS: origins with at most one '*', or "*" for all.
    explicit CorsPolicy(const std::vector<std::string>& extra);

    enum class Verdict : std::uint8_t {
        none,      ///< no Origin, or our own: no CORS fields
        allowed,   ///< answer, and add the fields
        preflight, ///< answer 204 with preflight()
        refused,   ///< answer 403 without a body
    };
    [[nodiscard]] Verdict judge(const http::RequestHead& head) const;
    [[nodiscard]] bool allows(std::string_view origin) const;

    /// The fields of an allowed answer.
    void mark(const http::RequestHead& head, http::Fields& answer) const;
    /// The fields of a 204.
    void mark_preflight(const http::RequestHead& head, http::Fields& answer) const;

private:
    struct Pattern {
        std::string before;
        std::string after;
        bool wild;
    };
    std::vector<Pattern> patterns_;
    bool all_{false};
};

} // namespace herd::proxy
