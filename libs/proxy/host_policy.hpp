#pragma once
// DNS rebinding: a web page of evil.example whose name suddenly resolves to 127.0.0.1 is same-origin for a browser.
// A server that only its own machine reaches therefore answers under this machine's own names alone, by Ollama's
// rule: reference/ollama-api.md 1.0 "CORS / Host". A herd on the LAN may be called anything.
#include "http/message.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// Thread: one at a time.
class HostPolicy {
public:
    /// Everything passes.
    HostPolicy() = default;
    /// `own_name`: this machine's host name. `extra`: further names, "*.lan" for all below one, "*" for all.
    HostPolicy(std::string_view own_name, const std::vector<std::string>& extra);

    enum class Verdict : std::uint8_t {
        pass,
        refused, ///< answer 403 without a body
        options, ///< OPTIONS without an Origin to a local name: answer 204, as Ollama does
    };
    [[nodiscard]] Verdict judge(const http::RequestHead& head) const;

private:
    [[nodiscard]] bool knows(std::string_view name) const;

    bool checks_{false};
    std::vector<std::string> names_{};
    std::vector<std::string> suffixes_{}; ///< ".lan"
    mutable std::string passed_{}; ///< an address that passed: the next request nearly always says the same
};

} // namespace herd::proxy
