#pragma once
// LANA v1 on the wire (lana.md 2 and 3): a fixed header, flat TLVs, an optional MAC. Bytes in, values out;
// no socket, no clock, no allocation beyond the lists. Parsing is in two steps, because the source and the
// MAC are judged between them (rules 5 to 8 stand in the listener):
//
//   parse_header   rules 1 to 4: lengths, magic, version, type
//   parse_body     rule 9: the TLVs
//
// The structs keep the integers of the wire; all-ones means unknown in every one of them.
#include "base/ids.hpp"
#include "base/ip.hpp"

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace herd::discovery {

inline constexpr std::size_t datagram_bytes_limit = 1200;
inline constexpr std::size_t header_bytes = 64;
inline constexpr std::size_t mac_bytes = 32;
inline constexpr std::uint16_t default_discovery_port = 11436;
inline constexpr std::uint8_t protocol_version = 1;

using ByteView = std::span<const std::uint8_t>;
using Octets = std::vector<std::uint8_t>;

/// All-ones: the value is not known.
template <class T>
inline constexpr T unknown = static_cast<T>(~std::make_unsigned_t<T>{});

enum class Type : std::uint8_t { announce = 1, beacon = 2, ack = 3, leave = 4 };
[[nodiscard]] std::string_view to_string(Type type);

namespace flag {
inline constexpr std::uint16_t solicit = 0x0001;      ///< "answer me" (BEACON)
inline constexpr std::uint16_t reply = 0x0002;        ///< is an answer; never answered by ANNOUNCE or BEACON
inline constexpr std::uint16_t want_ack = 0x0004;
inline constexpr std::uint16_t ephemeral_id = 0x0008; ///< the id does not outlive this installation
inline constexpr std::uint16_t herd = 0x0010;         ///< the sender is a coordinator
} // namespace flag

/// What a node says about itself. Only ready and busy may be routed to.
enum class State : std::uint8_t { init, ready, busy, draining, backend_down, maintenance };
[[nodiscard]] std::string_view to_string(State state);
[[nodiscard]] std::optional<State> parse_state(std::string_view text);

struct Header {
    Type type{Type::announce};
    std::uint16_t flags{0};
    std::uint8_t key_id{0};           ///< 0: no MAC
    std::uint16_t interval_ms{1000};  ///< "you will hear from me again within this time"
    std::uint8_t detect_mult{3};
    std::uint8_t state{0};            ///< State; 6 and above come from newer senders and are not routable
    base::Uuid sender_id{};
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    std::uint16_t api_port{0};
    std::uint16_t udp_port{0};        ///< 0: the source port
    std::uint64_t time_ms{0};         ///< diagnosis only
    std::uint32_t state_rev{0};
    std::uint32_t cluster{0};

    [[nodiscard]] bool has(std::uint16_t bit) const { return (flags & bit) != 0; }
    [[nodiscard]] bool is_routable() const { return state == 1 || state == 2; }
    bool operator==(const Header&) const = default;
};

struct Host {
    std::uint16_t cores_logical{unknown<std::uint16_t>};
    std::uint16_t cores_physical{unknown<std::uint16_t>};
    std::uint16_t cpu_busy_permille{unknown<std::uint16_t>};
    std::uint16_t load1_x100{unknown<std::uint16_t>};
    std::uint32_t ram_total_mib{unknown<std::uint32_t>};
    std::uint32_t ram_available_mib{unknown<std::uint32_t>};
    std::uint32_t swap_used_mib{unknown<std::uint32_t>};
    std::uint16_t psi_memory_x100{unknown<std::uint16_t>};
    std::int16_t cpu_temperature_x10{unknown<std::int16_t>};
    bool operator==(const Host&) const = default;
};

struct Load {
    std::uint16_t in_flight{unknown<std::uint16_t>};
    std::uint16_t queued{unknown<std::uint16_t>};
    std::uint16_t slots_total{unknown<std::uint16_t>};
    std::uint16_t slots_free{unknown<std::uint16_t>};
    std::uint16_t models_loaded{unknown<std::uint16_t>};
    std::uint16_t models_available{unknown<std::uint16_t>};
    std::uint32_t tokens_per_s_x10{unknown<std::uint32_t>};
    bool operator==(const Load&) const = default;
};

enum class GpuVendor : std::uint8_t { nvidia = 1, amd = 2, intel = 3, apple = 4 };
namespace gpu_flag {
inline constexpr std::uint8_t unified_memory = 1;
inline constexpr std::uint8_t thermal_throttle = 2;
inline constexpr std::uint8_t error = 4;
} // namespace gpu_flag

struct Gpu {
    std::uint8_t index{0};
    std::uint8_t vendor{unknown<std::uint8_t>}; ///< GpuVendor
    std::uint8_t busy_percent{unknown<std::uint8_t>};
    std::uint8_t temperature_c{unknown<std::uint8_t>};
    std::uint32_t vram_total_mib{unknown<std::uint32_t>};
    std::uint32_t vram_free_mib{unknown<std::uint32_t>};
    std::uint16_t power_w{unknown<std::uint16_t>};
    std::uint16_t power_limit_w{unknown<std::uint16_t>};
    std::uint8_t flags{0};
    std::uint16_t memory_gb_per_s{unknown<std::uint16_t>};
    std::uint32_t uuid_hash{unknown<std::uint32_t>}; ///< first 4 bytes of SHA-256(GPU UUID)
    bool operator==(const Gpu&) const = default;
};

namespace model_flag {
inline constexpr std::uint8_t loading = 1;
inline constexpr std::uint8_t fully_on_gpu = 2;
} // namespace model_flag

/// A model resident on the node, named by hash: enough to route to it warm without a fetch.
struct LoadedModel {
    std::uint64_t name_hash{0}; ///< model_hash("name:tag")
    std::uint8_t in_flight{0};
    std::uint8_t flags{0};
    std::uint16_t unload_in_s{unknown<std::uint16_t>}; ///< all-ones: never
    bool operator==(const LoadedModel&) const = default;
};

struct Subnet {
    base::IpAddress address{};
    std::uint8_t prefix_length{0};
    bool operator==(const Subnet&) const = default;
};

namespace cap {
inline constexpr std::uint8_t api_tls = 1;
inline constexpr std::uint8_t wants_bearer = 2;
inline constexpr std::uint8_t watch = 4;
} // namespace cap

struct Agent {
    std::uint16_t port{default_discovery_port}; ///< TCP
    std::uint8_t version_max{protocol_version};
    std::uint8_t caps{0};
    bool operator==(const Agent&) const = default;
};

struct Echo {
    std::uint64_t herd{0}; ///< first 8 bytes of the herd's id
    std::uint64_t nonce{0};
    bool operator==(const Echo&) const = default;
};

struct Announce {
    Agent agent{};
    std::optional<Host> host{};
    std::optional<Load> load{};
    std::vector<Gpu> gpus{};           ///< at most 16
    std::vector<LoadedModel> models{}; ///< at most 24
    std::vector<Subnet> addresses{};   ///< at most 4; honoured only with a valid MAC
    std::string name{};                ///< empty: not said
    std::string agent_version{};
    std::string backend_version{};
    std::vector<std::uint64_t> herds{}; ///< at most 8
    std::optional<Echo> echo{};
    bool operator==(const Announce&) const = default;
};

struct Beacon {
    std::optional<std::uint64_t> nonce{};
    std::uint32_t pool_size{0};
    std::uint16_t answer_window_ms{20};
    std::uint16_t wanted_interval_ms{1000};
    bool operator==(const Beacon&) const = default;
};

namespace ack_flag {
inline constexpr std::uint16_t duplicate_id = 1;
inline constexpr std::uint16_t not_approved = 2;
inline constexpr std::uint16_t api_unreachable = 4;
} // namespace ack_flag

struct Ack {
    std::uint64_t boot_id{0};
    std::uint32_t seq{0};
    std::uint16_t wanted_interval_ms{1000};
    std::uint16_t flags{0};
    bool operator==(const Ack&) const = default;
};

enum class LeaveReason : std::uint8_t { shutdown = 1, restart = 2, suspend = 3, address_change = 4 };
[[nodiscard]] std::string_view to_string(LeaveReason reason);

struct Leave {
    std::uint8_t reason{static_cast<std::uint8_t>(LeaveReason::shutdown)};
    std::uint16_t back_in_s{unknown<std::uint16_t>};
    bool operator==(const Leave&) const = default;
};

using Body = std::variant<Announce, Beacon, Ack, Leave>;

/// Why a datagram was not used (or, the last ones, what was special about one that was). Each is a counter.
enum class Drop : std::uint8_t {
    empty, oversize, bad_magic, too_short, bad_version, bad_length, bad_header, bad_type, // rules 1-4
    bad_id, self, other_fleet,                                                            // rule 5
    bad_source, rate,                                                                     // rule 6
    bad_key, bad_mac, unauthenticated, off_link, addr_mismatch,                           // rule 7
    downgrade,    ///< without a MAC, from a node that had one
    replay, stale_boot,                                                                   // rule 8
    bad_tlv, unknown_critical,                                                            // rule 9
    legacy,       ///< the bare 4-byte LANA of Ollana: counted, never answered
    not_for_us,   ///< well-formed, but this role does not take that type
    other_path,   ///< a live node heard through another of its addresses: noted, nothing else
    bad_leave,    ///< LEAVE that does not match id, boot, seq and source
    table_full,   ///< a cap of section 3 was reached
    unconfirmed,  ///< waits for confirmation and its sighting was passed on a moment ago
};
inline constexpr std::size_t drop_count = static_cast<std::size_t>(Drop::unconfirmed) + 1;
[[nodiscard]] std::string_view to_string(Drop drop);

struct ParsedHeader {
    Header header{};
    std::size_t body_begin{0}; ///< where TLVs start
    std::size_t body_end{0};   ///< where they end: the MAC or the end of the datagram
    bool clamped{false};       ///< interval_ms or detect_mult was outside its range
};

/// Rules 1 to 4. A bare LANA is Drop::legacy.  Thread: any (pure).
[[nodiscard]] std::expected<ParsedHeader, Drop> parse_header(ByteView bytes);
/// Rule 9, with its clamps. `bytes` are those that parse_header took.  Thread: any (pure).
[[nodiscard]] std::expected<Body, Drop> parse_body(const ParsedHeader& parsed, ByteView bytes);

/// Writes the datagram, TLVs in the order of the golden vectors, and keeps it within `bytes_limit` by leaving
/// out, in this order: BACKEND_VER, AGENT_VER, NAME, HERDS, ADDR beyond 2, MODELS beyond 8, GPU beyond 8.
/// (With the TLVs of today everything at its cap is 1149 bytes, so the default limit never bites.)
/// With `header.key_id` != 0 the last 32 bytes are zero and wait for Authenticator::seal().
/// `header.type` is taken from the body's alternative; lists beyond their caps are cut.
[[nodiscard]] Octets encode(Header header, const Body& body, std::size_t bytes_limit = datagram_bytes_limit);

/// First 8 bytes of SHA-256("name:tag"), as MODELS carries it. `name` gets ":latest" when it has no tag.
[[nodiscard]] std::uint64_t model_hash(std::string_view name);
/// First 4 bytes of SHA-256(fleet name); 0 for the default (empty) fleet.
[[nodiscard]] std::uint32_t cluster_of(std::string_view fleet_name);

} // namespace herd::discovery
