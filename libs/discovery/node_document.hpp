#pragma once
// What a node says about itself over HTTP: `GET /herd/v1/node`, its twin `POST /herd/v1/announce` (the same
// document), and the lines of `/herd/v1/watch`. The datagram is derived from the same struct (facts_of), so
// that the two cannot disagree.
//
// Units are plain here: bytes, fractions 0..1, seconds, degrees Celsius. What is not known is empty.
// Parsing is strict about types and sizes and blind to members it does not know.
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/units.hpp"
#include "discovery/announcer.hpp"
#include "discovery/datagram.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::discovery {

inline constexpr std::size_t node_document_bytes_limit = 4 * base::mib;

struct HostFacts {
    std::optional<int> cores_logical{};
    std::optional<int> cores_physical{};
    std::optional<double> cpu_busy{}; ///< 0..1
    std::optional<double> load1{};
    std::optional<base::Bytes> memory_total{};
    std::optional<base::Bytes> memory_available{};
    std::optional<base::Bytes> swap_used{};
    std::optional<double> memory_pressure{}; ///< PSI "some avg10", percent
    std::optional<double> temperature_c{};
    std::string cpu{};  ///< as the kernel names it: "AMD EPYC 7B13"; a board's name where it names none
    std::string arch{}; ///< as `uname -m` says: "x86_64", "aarch64"
    bool operator==(const HostFacts&) const = default;
};

struct GpuFacts {
    int index{0};
    std::string vendor{}; ///< "nvidia", "amd", "intel", "apple"
    std::string name{};
    std::string uuid{};
    std::optional<base::Bytes> vram_total{};
    std::optional<base::Bytes> vram_free{};
    std::optional<double> busy{}; ///< 0..1
    std::optional<double> temperature_c{};
    std::optional<double> power_w{};
    std::optional<double> power_limit_w{};
    std::optional<int> memory_gb_per_s{};
    bool unified_memory{false};
    bool throttled{false};
    bool failed{false};
    bool operator==(const GpuFacts&) const = default;
};

/// A model on the node's disk.
struct ModelFacts {
    std::string name{}; ///< canonical "name:tag"
    std::string digest{};
    base::Bytes size{0};
    std::string modified_at{}; ///< as the node wrote it
    std::optional<base::Bytes> cache_bytes_per_token{}; ///< of context, from the model's metadata; empty: not known
    std::string row{};         ///< verbatim JSON object of the node's /api/tags; may be empty
    bool operator==(const ModelFacts&) const = default;
};

/// A model in the node's memory.
struct LoadedFacts {
    std::string name{};
    std::string digest{};
    base::Bytes size{0};
    base::Bytes size_vram{0};
    std::optional<std::int64_t> context_length{};
    std::string expires_at{};          ///< as the node wrote it
    std::optional<int> unload_in_s{};  ///< empty: never, or not known
    std::optional<int> slots{};        ///< where the runner tells
    std::optional<int> in_flight{};
    bool loading{false};
    std::string row{};                 ///< verbatim JSON object of the node's /api/ps; may be empty
    bool operator==(const LoadedFacts&) const = default;
};

/// How its Ollama is set up, where its environment can be read. Empty: not set, or not known.
struct SettingsFacts {
    std::string keep_alive{}; ///< OLLAMA_KEEP_ALIVE as written: "5m", "-1"
    std::optional<int> num_parallel{};
    std::optional<int> max_loaded_models{};
    std::optional<std::int64_t> context_length{};
    bool operator==(const SettingsFacts&) const = default;
};

/// The file system that holds the models.
struct DiskFacts {
    std::optional<base::Bytes> total{};
    std::optional<base::Bytes> free{}; ///< as its Ollama may use it
    bool operator==(const DiskFacts&) const = default;
};

struct NodeDocument {
    base::NodeId sender_id{};
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    State state{State::init};
    std::string state_reason{}; ///< why not ready, for people
    std::uint32_t state_rev{1};
    bool ephemeral_id{false};
    std::uint32_t cluster{0};   ///< as in the datagram

    std::string name{};
    std::string agent_version{};
    std::string ollama_version{};
    std::uint16_t api_port{0};
    std::uint16_t agent_port{0};
    bool gateway{true};
    std::optional<std::array<std::uint8_t, 32>> tls_pin{}; ///< SHA-256 of its certificate, when it speaks TLS too
    bool watch{true};             ///< serves /herd/v1/watch
    std::vector<std::string> labels{};
    std::vector<Subnet> addresses{};
    std::vector<std::uint8_t> keys{};  ///< ids of the fleet keys it holds, the one it signs with first
    std::string tls_fingerprint{};     ///< SHA-256 of its certificate, 64 lower-case hex digits; empty: no TLS
    std::uint16_t interval_ms{1000};
    std::uint8_t detect_mult{3};

    HostFacts host{};
    SettingsFacts settings{};
    DiskFacts disk{};
    std::vector<GpuFacts> gpus{};
    std::vector<ModelFacts> models{};
    std::vector<LoadedFacts> loaded{};
    std::optional<int> slots{}; ///< per model, where a loaded model does not say
    int in_flight{0};
    int queued{0};
    std::optional<double> tokens_per_s{};
    bool operator==(const NodeDocument&) const = default;
};

/// The document as JSON text; rows are written as they are.
[[nodiscard]] std::string to_json(const NodeDocument& document);
/// Errors: too_large, malformed (one sentence naming the member); source = node. Does not throw.
[[nodiscard]] base::Result<NodeDocument> parse_node_document(std::string_view text);

/// ETag of the document: "\"<boot>-<rev>\"", quotes included.
[[nodiscard]] std::string etag_of(const NodeDocument& document);
[[nodiscard]] std::string etag_of(std::uint64_t boot_id, std::uint32_t state_rev);

/// True when `now` differs from `before` in what state_rev stands for: everything but seq, state_rev itself,
/// load numbers and times. The agent raises state_rev exactly then.
[[nodiscard]] bool differs_in_stable_part(const NodeDocument& before, const NodeDocument& now);

/// What the datagram says of this document.
[[nodiscard]] Facts facts_of(const NodeDocument& document);
/// The header of the ANNOUNCE that this document is the twin of.
[[nodiscard]] Header header_of(const NodeDocument& document);

/// One line of /herd/v1/watch, newline included: which version of the document is current.
struct WatchLine {
    std::uint64_t boot_id{0};
    std::uint32_t state_rev{0};
    State state{State::init};
    int in_flight{0};
    bool operator==(const WatchLine&) const = default;
};
[[nodiscard]] std::string to_json(const WatchLine& line);
[[nodiscard]] base::Result<WatchLine> parse_watch_line(std::string_view text);

/// What a herd answers to POST /herd/v1/announce (200, or 403 with {"error"}).
struct AnnounceAnswer {
    base::Uuid herd{};
    std::uint64_t boot_id{0};
    std::uint16_t wanted_interval_ms{1000};
    std::uint16_t flags{0}; ///< ack_flag
    bool operator==(const AnnounceAnswer&) const = default;
};
[[nodiscard]] std::string to_json(const AnnounceAnswer& answer);
[[nodiscard]] base::Result<AnnounceAnswer> parse_announce_answer(std::string_view text);

} // namespace herd::discovery
