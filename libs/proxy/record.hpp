#pragma once
// What is kept of one exchange when it is over: never prompts, never answers.
#include "base/ip.hpp"
#include "base/time.hpp"
#include "fleet/profile.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

struct AttemptRecord {
    std::string node{};
    fleet::Result outcome{fleet::Result::served};
    base::Duration took{};
};

/// Times are durations from the arrival of the request's head, unless said otherwise.
struct ExchangeRecord {
    std::string id{};
    base::WallTime at{};
    base::Endpoint client{};
    std::string_view api{}; ///< lives for ever: "ollama", "openai", "anthropic", "admin"
    std::string method{};
    std::string path{};
    std::string model{}; ///< what ran; empty when none did
    std::string requested_model{};
    std::string node{};
    std::vector<AttemptRecord> attempts{};
    int status{0};
    bool stream{false};
    bool fallback{false}; ///< another model than the one asked for ran
    fleet::Priority priority{fleet::Priority::normal};
    std::optional<int> num_ctx{}; ///< as the client asked for it
    /// Who ended it (- normal, C client, N node, P policy, T deadline) and in which phase (R reading, Q queued,
    /// S selecting, C connecting, H awaiting the head, D data, - done).
    std::string termination{"--"};
    std::vector<std::string> tags{};
    std::string session{};
    fleet::Timings timings{};
    base::Duration queue{};   ///< all waits in the queue together
    base::Duration connect{}; ///< of the last attempt
    base::Duration first_byte{};
    base::Duration total{};
    std::uint64_t bytes_in{0};
    std::uint64_t bytes_out{0};
    std::string error{};
    std::string key{};      ///< name of the key the client showed; empty: none
    std::string frontend{}; ///< of [[frontend]]; empty: the default one
    std::shared_ptr<const fleet::Decision> decision{}; ///< of the last attempt; may be null
    std::vector<std::string> labels{};    ///< that the node had to carry
    std::string done_reason{};            ///< in the node's words: "stop", "length", "tool_calls", …
    std::string user_agent{};             ///< at most 128 bytes
};

/// Called once per exchange, at its end. Thread: the exchange's loop.
using RecordSink = std::function<void(ExchangeRecord&&)>;

/// An exchange that has not ended: what its record would say now, and the phase it is in.
struct InFlight {
    ExchangeRecord record{};
    char phase{'R'}; ///< R reading, Q queued, H at the node, D data
    base::Duration still{}; ///< Proxy::still() only: for how long it has not moved
};

} // namespace herd::proxy
