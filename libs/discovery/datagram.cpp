#include "discovery/datagram.hpp"

#include "base/assert.hpp"
#include "discovery/internal/tlv.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>

namespace herd::discovery {

namespace {

using internal::Reader;
using internal::Writer;

constexpr std::array<std::uint8_t, 4> magic{0x4C, 0x41, 0x4E, 0x41};
constexpr std::uint16_t interval_ms_min = 100;
constexpr std::uint16_t interval_ms_max = 60000;
constexpr std::uint8_t detect_mult_min = 2;
constexpr std::uint8_t detect_mult_max = 10;

void write_header(Writer& out, const Header& header, Type type)
{
    out.bytes(magic);
    out.u8(protocol_version);
    out.u8(static_cast<std::uint8_t>(type));
    out.u16(header.flags);
    out.u16(0); // length, set when it is known
    out.u8(static_cast<std::uint8_t>(header_bytes));
    out.u8(header.key_id);
    out.u16(header.interval_ms);
    out.u8(header.detect_mult);
    out.u8(header.state);
    out.bytes(header.sender_id.bytes);
    out.u64(header.boot_id);
    out.u32(header.seq);
    out.u16(header.api_port);
    out.u16(header.udp_port);
    out.u64(header.time_ms);
    out.u32(header.state_rev);
    out.u32(header.cluster);
}

/// Text as a TLV may carry it: no controls, cut at a character's border.
void fit_text(std::string& text, std::size_t limit)
{
    if (text.size() > limit) {
        while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) {
            --limit;
        }
        text.resize(limit);
    }
    text = internal::clean_text(net::bytes_of(text));
}

template <class T>
void cut(std::vector<T>& list, std::size_t limit)
{
    if (list.size() > limit) {
        list.resize(limit);
    }
}

Octets write_all(const Header& header, Type type, const Body& body)
{
    Writer out;
    write_header(out, header, type);
    std::visit([&](const auto& alternative) { internal::write(out, alternative); }, body);
    if (header.key_id != 0) {
        out.zeros(mac_bytes);
    }
    out.put_u16(8, static_cast<std::uint16_t>(out.size()));
    return out.take();
}

} // namespace

std::string_view to_string(Type type)
{
    switch (type) {
    case Type::announce: return "announce";
    case Type::beacon: return "beacon";
    case Type::ack: return "ack";
    case Type::leave: return "leave";
    }
    return "unknown";
}

std::string_view to_string(State state)
{
    switch (state) {
    case State::init: return "init";
    case State::ready: return "ready";
    case State::busy: return "busy";
    case State::draining: return "draining";
    case State::backend_down: return "backend_down";
    case State::maintenance: return "maintenance";
    }
    return "unknown";
}

std::optional<State> parse_state(std::string_view text)
{
    for (const State state : {State::init, State::ready, State::busy, State::draining, State::backend_down,
                              State::maintenance}) {
        if (text == to_string(state)) {
            return state;
        }
    }
    return std::nullopt;
}

std::string_view to_string(LeaveReason reason)
{
    switch (reason) {
    case LeaveReason::shutdown: return "shutdown";
    case LeaveReason::restart: return "restart";
    case LeaveReason::suspend: return "suspend";
    case LeaveReason::address_change: return "address_change";
    }
    return "unknown";
}

std::string_view to_string(Drop drop)
{
    constexpr std::array<std::string_view, drop_count> names{
        "empty",      "oversize",  "bad_magic",  "short",           "bad_version", "bad_length",
        "bad_header", "bad_type",  "bad_id",     "self",            "other_fleet", "bad_source",
        "rate",       "bad_key",   "bad_mac",    "unauthenticated", "off_link",    "addr_mismatch",
        "downgrade", "replay",     "stale_boot", "bad_tlv",   "unknown_critical", "legacy",     "not_for_us",
        "other_path", "bad_leave", "table_full", "unconfirmed"};
    return names[static_cast<std::size_t>(drop)];
}

std::expected<ParsedHeader, Drop> parse_header(ByteView bytes)
{
    if (bytes.empty()) {
        return std::unexpected(Drop::empty);
    }
    if (bytes.size() > datagram_bytes_limit) {
        return std::unexpected(Drop::oversize);
    }
    if (bytes.size() < magic.size() || !std::ranges::equal(bytes.first(magic.size()), magic)) {
        return std::unexpected(Drop::bad_magic);
    }
    if (bytes.size() < header_bytes) {
        return std::unexpected(bytes.size() == magic.size() ? Drop::legacy : Drop::too_short);
    }
    Reader in(bytes.subspan(magic.size()));
    if (in.u8() != protocol_version) {
        return std::unexpected(Drop::bad_version);
    }
    ParsedHeader parsed;
    Header& header = parsed.header;
    const std::uint8_t type = in.u8();
    header.flags = in.u16();
    if (in.u16() != bytes.size()) {
        return std::unexpected(Drop::bad_length);
    }
    parsed.body_begin = in.u8();
    header.key_id = in.u8();
    const std::size_t mac = header.key_id != 0 ? mac_bytes : 0;
    if (parsed.body_begin < header_bytes || parsed.body_begin + mac > bytes.size()) {
        return std::unexpected(Drop::bad_header);
    }
    parsed.body_end = bytes.size() - mac;
    const bool from_herd = header.has(flag::herd);
    if (type < 1 || type > 4 || (type == 1 && from_herd) || ((type == 2 || type == 3) && !from_herd)) {
        return std::unexpected(Drop::bad_type);
    }
    header.type = static_cast<Type>(type);
    header.interval_ms = in.u16();
    header.detect_mult = in.u8();
    header.state = in.u8();
    std::ranges::copy(in.take(16), header.sender_id.bytes.begin());
    header.boot_id = in.u64();
    header.seq = in.u32();
    header.api_port = in.u16();
    header.udp_port = in.u16();
    header.time_ms = in.u64();
    header.state_rev = in.u32();
    header.cluster = in.u32();
    const auto interval = std::clamp(header.interval_ms, interval_ms_min, interval_ms_max);
    const auto mult = std::clamp(header.detect_mult, detect_mult_min, detect_mult_max);
    parsed.clamped = interval != header.interval_ms || mult != header.detect_mult;
    header.interval_ms = interval;
    header.detect_mult = mult;
    return parsed;
}

std::expected<Body, Drop> parse_body(const ParsedHeader& parsed, ByteView bytes)
{
    HERD_ASSERT(parsed.body_begin <= parsed.body_end && parsed.body_end <= bytes.size());
    auto fields = internal::walk(bytes.subspan(parsed.body_begin, parsed.body_end - parsed.body_begin));
    if (!fields) {
        return std::unexpected(fields.error());
    }
    switch (parsed.header.type) {
    case Type::announce:
        if (!fields->agent || (parsed.header.api_port == 0 && parsed.header.is_routable())) {
            break;
        }
        fields->announce.agent = *fields->agent;
        return Body{std::move(fields->announce)};
    case Type::beacon:
        if (!fields->herdinfo) {
            break;
        }
        fields->herdinfo->nonce = fields->nonce;
        return Body{*fields->herdinfo};
    case Type::ack:
        if (!fields->ack) {
            break;
        }
        return Body{*fields->ack};
    case Type::leave:
        if (!fields->reason) {
            break;
        }
        return Body{*fields->reason};
    }
    return std::unexpected(Drop::bad_tlv);
}

Octets encode(Header header, const Body& body, std::size_t bytes_limit)
{
    HERD_ASSERT(!header.sender_id.is_nil());
    const auto type = static_cast<Type>(body.index() + 1);
    const auto* announce = std::get_if<Announce>(&body);
    if (announce == nullptr) {
        return write_all(header, type, body);
    }
    Announce fitted = *announce;
    cut(fitted.gpus, internal::gpu_limit);
    cut(fitted.models, internal::model_limit);
    cut(fitted.addresses, internal::address_limit);
    cut(fitted.herds, internal::herd_limit);
    fit_text(fitted.name, 63);
    fit_text(fitted.agent_version, 31);
    fit_text(fitted.backend_version, 31);
    Octets bytes = write_all(header, type, fitted);
    for (int step = 0; bytes.size() > bytes_limit && step <= 6; ++step) {
        switch (step) {
        case 0: fitted.backend_version.clear(); break;
        case 1: fitted.agent_version.clear(); break;
        case 2: fitted.name.clear(); break;
        case 3: fitted.herds.clear(); break;
        case 4: cut(fitted.addresses, 2); break;
        case 5: cut(fitted.models, 8); break;
        default: cut(fitted.gpus, 8); break;
        }
        bytes = write_all(header, type, fitted);
    }
    return bytes;
}

std::uint64_t model_hash(std::string_view name)
{
    std::string canonical{name};
    if (canonical.rfind(':') == std::string::npos || canonical.find('/', canonical.rfind(':')) != std::string::npos) {
        canonical += ":latest";
    }
    const auto digest = net::sha256(canonical);
    return Reader(digest).u64();
}

std::uint32_t cluster_of(std::string_view fleet_name)
{
    if (fleet_name.empty()) {
        return 0;
    }
    const auto digest = net::sha256(fleet_name);
    return Reader(digest).u32();
}

} // namespace herd::discovery
