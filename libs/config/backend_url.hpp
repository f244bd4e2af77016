#pragma once
// Where an Ollama is, as its users write it. `$OLLAMA_HOST` has rules of its own (envconfig.Host in Ollama's
// source): no scheme means port 11434, `http://` means 80, `https://` 443, quotes and a bad port are forgiven.
// Flags and files are read by the same rules, but strictly: there a bad port is an error.
#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::config {

struct BackendUrl {
    bool tls{false};
    std::string host{"127.0.0.1"}; ///< without brackets
    std::uint16_t port{11434};
    std::string path{}; ///< "" or "/prefix", no slash at the end

    /// "http://[::1]:11434/prefix": always with the port.
    [[nodiscard]] std::string text() const;
    /// "host:port", what a Host header says.
    [[nodiscard]] std::string authority() const;
    bool operator==(const BackendUrl&) const = default;
};

/// `$OLLAMA_HOST` as Ollama's own client reads it; never fails. Addresses that only a listener understands
/// become ones that a client can call: no host and 0.0.0.0 are 127.0.0.1, [::] is ::1.
[[nodiscard]] BackendUrl parse_ollama_host(std::string_view value);

/// Why nobody could be reached by what parse_ollama_host() made of the variable, one sentence: Ollama takes that text, but can
/// neither listen nor be called there. Empty: nothing.
[[nodiscard]] std::string ollama_host_fault(const BackendUrl& url);

/// A URL or HOST[:PORT] from a flag or a file; `default_port` is for texts without a scheme.
/// Errors: bad_config, context says what is wrong.
[[nodiscard]] base::Result<BackendUrl> parse_backend_url(std::string_view text,
                                                         std::uint16_t default_port = 11434);

} // namespace herd::config
