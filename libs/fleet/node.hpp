#pragma once
// What is known of one node: facts it told us, and the state we hold it in. Plain values.
#include "base/ids.hpp"
#include "base/ip.hpp"
#include "base/peer_trust.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace herd::fleet {

using base::Bytes;
using base::NodeId;

/// How the fleet holds a node. Names in the admin API are these enumerators.
enum class NodeState : std::uint8_t {
    unknown,     ///< seen or configured, not yet confirmed
    online,      ///< takes requests
    suspect,     ///< something failed; being verified; takes none while an online node can
    draining,    ///< finishes what it has, takes nothing new
    offline,     ///< gone; kept 24 h by id
    unreachable, ///< announces, but its API cannot be reached (the reason says why)
};
[[nodiscard]] std::string_view to_string(NodeState state);

/// What the node says of itself (LANA `state`).
enum class AnnouncedState : std::uint8_t { init, ready, busy, draining, backend_down, maintenance, other };
[[nodiscard]] inline bool routable(AnnouncedState s) { return s == AnnouncedState::ready || s == AnnouncedState::busy; }

enum class NodeSource : std::uint8_t { lana, configured, http };
[[nodiscard]] std::string_view to_string(NodeSource source); ///< "lana", "static", "http"

/// What vouches for a node (lana.md 5).
enum class Trust : std::uint8_t {
    open,            ///< nothing: anyone on this LAN may join
    configured,      ///< a human named it
    key,             ///< it holds the fleet's key
    unauthenticated, ///< the fleet has a key, the node has none, and that is allowed
    waiting,         ///< for a human's approval
    approved,        ///< by a human
};
[[nodiscard]] std::string_view to_string(Trust trust);

struct Gpu {
    std::string name{};
    std::string vendor{};
    Bytes vram_total{0};
    std::optional<Bytes> vram_free{};
    std::optional<double> busy{}; ///< 0…1
    std::optional<double> temperature_c{};
    std::optional<double> power_w{};
    std::optional<int> memory_gb_per_s{}; ///< as its driver tells
    bool throttled{false}; ///< slowed down by heat
    bool failed{false};    ///< its driver does not answer, or says that it is broken
};

struct HostLoad {
    int cores{0};          ///< hardware threads
    int cores_physical{0}; ///< 0: not told
    std::optional<double> cpu_busy{}; ///< 0…1
    std::optional<double> load1{};
    Bytes memory_total{0};
    Bytes memory_available{0};
    Bytes swap_used{0};
    std::optional<double> memory_pressure{}; ///< percent of time that someone waited for memory (PSI some, 10 s)
    std::optional<double> temperature_c{};
};

/// How a node's Ollama is set up, where its agent could read it. Empty: not set, or not known.
struct OllamaSettings {
    std::string keep_alive{}; ///< as written: "5m", "-1"
    std::optional<int> num_parallel{};
    std::optional<int> max_loaded_models{};
    std::optional<std::int64_t> context_length{};
};

/// A model on a node's disk.
struct Model {
    std::string name{};        ///< as the node displays it: "llama3.2:3b"
    std::string key{};         ///< ModelName::key of it
    std::string digest{};      ///< hex of the manifest
    Bytes size{0};
    std::string modified_at{}; ///< RFC 3339, as the node wrote it
    std::string row{};         ///< the node's own JSON object in /api/tags, verbatim
    Bytes cache_per_token{0};  ///< of context, from the model's metadata; 0: not told
    bool remote{false};        ///< runs in a cloud, whatever it is called: a stub, or a copy of one
};

/// A model in a node's memory.
struct LoadedModel {
    std::string name{};
    std::string key{};
    std::string digest{};
    Bytes size{0};
    Bytes size_vram{0};
    int context_length{0};
    std::string expires_at{};
    std::optional<int> slots{}; ///< from the running server's command line, where the agent could read it
    std::uint64_t wire_hash{0}; ///< names it in announcements; 0: its requests are not counted there
    std::string row{};          ///< the node's own JSON object in /api/ps, verbatim
};

/// Everything a node tells: the agent's document, or what a probe of a plain Ollama found.
struct NodeFacts {
    std::string name{};
    std::string agent_version{};
    std::string ollama_version{};
    std::uint64_t boot_id{0};
    std::uint32_t state_rev{0};
    std::uint32_t seq{0};
    AnnouncedState announced{AnnouncedState::init};
    std::uint16_t api_port{0};
    std::uint16_t agent_port{0};
    bool gateway{true};
    bool authenticated{false};        ///< told under a MAC of the fleet's key
    std::vector<std::uint8_t> keys{}; ///< ids of the fleet keys it holds, its primary first
    std::optional<std::array<std::uint8_t, 32>> tls_pin{}; ///< SHA-256 of its certificate, when its gateway speaks TLS
    std::vector<std::string> labels{};
    std::string cpu{};  ///< the processor's name; empty: not told, as the next
    std::string arch{}; ///< "x86_64", "aarch64"
    HostLoad host{};
    OllamaSettings settings{};
    std::optional<Bytes> disk_total{}; ///< of the file system that holds the models
    std::optional<Bytes> disk_free{};
    std::vector<Gpu> gpus{};
    std::vector<Model> models{};
    std::vector<LoadedModel> loaded{};
    std::optional<int> slots{}; ///< per model, when a loaded row does not say (OLLAMA_NUM_PARALLEL or --slots)
};

/// Which of the two families of paths a node serves.
enum class NodeApi : std::uint8_t {
    ollama, ///< all of Ollama's
    openai, ///< only /v1: llama.cpp's server, vLLM, LM Studio
};
[[nodiscard]] std::string_view to_string(NodeApi api);

/// What a person said about how to speak to a node, beyond where it is. Made once, then shared.
struct Manner {
    std::shared_ptr<const base::PeerTrust> trust{}; ///< null: plain HTTP
    NodeApi api{NodeApi::ollama};
    bool cloud{false}; ///< outside of this LAN: only for requests that allow it, and last of all
    double weight{1};  ///< of two nodes that are equally good, the one with twice the weight looks twice as good
    int down_after{4};     ///< polls that fail in a row make it offline
    int up_after{1};       ///< polls that are answered in a row bring it back
    std::string lacking{}; ///< what must be set before it can be asked anything; empty: nothing
    std::vector<std::pair<std::string, std::string>> headers{}; ///< added to each request; secrets
    std::string query{};                                        ///< "a=b&c=d", added to each target; secret
};

/// How to speak to a node's Ollama API.
struct Address {
    base::Endpoint endpoint{};
    std::string host_header{}; ///< what to send as Host; Ollama on loopback checks it
    std::string path_prefix{}; ///< of a configured URL, else empty
    std::string bearer{};      ///< a secret: never shown
    bool configured{false};   ///< a person named it: it may be beyond this LAN
    /// What an agent wants to see with each request (X-Herd-Proof); null where nobody asks for it. Never shown.
    std::shared_ptr<const std::string> proof{};
    std::shared_ptr<const Manner> manner{}; ///< null: plain HTTP, Ollama, on this LAN

    [[nodiscard]] const std::shared_ptr<const base::PeerTrust>& trust() const
    {
        static const std::shared_ptr<const base::PeerTrust> plain;
        return manner ? manner->trust : plain;
    }
    [[nodiscard]] NodeApi api() const { return manner ? manner->api : NodeApi::ollama; }
    [[nodiscard]] bool cloud() const { return manner && manner->cloud; }
};

} // namespace herd::fleet
