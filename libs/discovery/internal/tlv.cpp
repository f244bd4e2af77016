#include "discovery/internal/tlv.hpp"

#include "base/text.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>

namespace herd::discovery::internal {

namespace {

constexpr int tlv_limit = 64;

enum Tlv : std::uint8_t {
    tlv_name = 0x01,
    tlv_host = 0x02,
    tlv_load = 0x03,
    tlv_gpu = 0x04,
    tlv_models = 0x05,
    tlv_addr = 0x06,
    tlv_agent = 0x07,
    tlv_agent_version = 0x08,
    tlv_backend_version = 0x09,
    tlv_herds = 0x0A,
    tlv_nonce = 0x0B,
    tlv_echo = 0x0C,
    tlv_ackinfo = 0x0D,
    tlv_herdinfo = 0x0E,
    tlv_reason = 0x0F,
    tlv_critical = 0x80,
};

/// True when the length suits the type; unknown types suit any.
bool length_fits(std::uint8_t type, std::size_t length)
{
    switch (type) {
    case tlv_name: return length >= 1 && length <= 63;
    case tlv_agent_version:
    case tlv_backend_version: return length >= 1 && length <= 31;
    case tlv_host:
    case tlv_gpu: return length == 24;
    case tlv_load:
    case tlv_echo:
    case tlv_ackinfo: return length == 16;
    case tlv_models: return length % 12 == 0;
    case tlv_addr: return length == 6 || length == 18;
    case tlv_agent:
    case tlv_reason: return length == 4;
    case tlv_herds: return length % 8 == 0;
    case tlv_nonce: return length == 8;
    case tlv_herdinfo: return length == 12;
    default: return true;
    }
}

/// How often a type may stand in one datagram; 0: as often as the walk allows (lists have caps of their own).
int count_max(std::uint8_t type)
{
    switch (type) {
    case tlv_gpu: return static_cast<int>(gpu_limit);
    case tlv_addr: return static_cast<int>(address_limit);
    case tlv_models:
    case tlv_herds: return 0;
    default: return 1;
    }
}

/// `free` of `total`: more than all is all.
template <class T>
void clamp_free(T& free, T total)
{
    if (free != unknown<T> && total != unknown<T> && free > total) {
        free = total;
    }
}

Host read_host(Reader in)
{
    Host host;
    host.cores_logical = in.u16();
    host.cores_physical = in.u16();
    host.cpu_busy_permille = in.u16();
    host.load1_x100 = in.u16();
    host.ram_total_mib = in.u32();
    host.ram_available_mib = in.u32();
    host.swap_used_mib = in.u32();
    host.psi_memory_x100 = in.u16();
    host.cpu_temperature_x10 = static_cast<std::int16_t>(in.u16());
    if (host.cpu_busy_permille > 1000) {
        host.cpu_busy_permille = unknown<std::uint16_t>;
    }
    if (host.psi_memory_x100 > 10000) {
        host.psi_memory_x100 = unknown<std::uint16_t>;
    }
    clamp_free(host.ram_available_mib, host.ram_total_mib);
    return host;
}

void write(Writer& out, const Host& host)
{
    out.u8(tlv_host);
    out.u8(24);
    out.u16(host.cores_logical);
    out.u16(host.cores_physical);
    out.u16(host.cpu_busy_permille);
    out.u16(host.load1_x100);
    out.u32(host.ram_total_mib);
    out.u32(host.ram_available_mib);
    out.u32(host.swap_used_mib);
    out.u16(host.psi_memory_x100);
    out.u16(static_cast<std::uint16_t>(host.cpu_temperature_x10));
}

Load read_load(Reader in)
{
    Load load;
    load.in_flight = in.u16();
    load.queued = in.u16();
    load.slots_total = in.u16();
    load.slots_free = in.u16();
    load.models_loaded = in.u16();
    load.models_available = in.u16();
    load.tokens_per_s_x10 = in.u32();
    clamp_free(load.slots_free, load.slots_total);
    return load;
}

void write(Writer& out, const Load& load)
{
    out.u8(tlv_load);
    out.u8(16);
    out.u16(load.in_flight);
    out.u16(load.queued);
    out.u16(load.slots_total);
    out.u16(load.slots_free);
    out.u16(load.models_loaded);
    out.u16(load.models_available);
    out.u32(load.tokens_per_s_x10);
}

Gpu read_gpu(Reader in)
{
    Gpu gpu;
    gpu.index = in.u8();
    gpu.vendor = in.u8();
    gpu.busy_percent = in.u8();
    gpu.temperature_c = in.u8();
    gpu.vram_total_mib = in.u32();
    gpu.vram_free_mib = in.u32();
    gpu.power_w = in.u16();
    gpu.power_limit_w = in.u16();
    gpu.flags = in.u8();
    (void)in.u8();
    gpu.memory_gb_per_s = in.u16();
    gpu.uuid_hash = in.u32();
    if (gpu.busy_percent > 100) {
        gpu.busy_percent = unknown<std::uint8_t>;
    }
    clamp_free(gpu.vram_free_mib, gpu.vram_total_mib);
    return gpu;
}

void write(Writer& out, const Gpu& gpu)
{
    out.u8(tlv_gpu);
    out.u8(24);
    out.u8(gpu.index);
    out.u8(gpu.vendor);
    out.u8(gpu.busy_percent);
    out.u8(gpu.temperature_c);
    out.u32(gpu.vram_total_mib);
    out.u32(gpu.vram_free_mib);
    out.u16(gpu.power_w);
    out.u16(gpu.power_limit_w);
    out.u8(gpu.flags);
    out.u8(0);
    out.u16(gpu.memory_gb_per_s);
    out.u32(gpu.uuid_hash);
}

std::optional<Subnet> read_address(ByteView value)
{
    Reader in(value);
    const std::uint8_t family = in.u8();
    const std::uint8_t prefix = in.u8();
    if (family == 4 && value.size() == 6 && prefix <= 32) {
        std::array<std::uint8_t, 4> bytes{};
        std::ranges::copy(value.subspan(2), bytes.begin());
        return Subnet{base::IpAddress::v4(bytes), prefix};
    }
    if (family == 6 && value.size() == 18 && prefix <= 128) {
        std::array<std::uint8_t, 16> bytes{};
        std::ranges::copy(value.subspan(2), bytes.begin());
        const auto address = base::IpAddress::v6(bytes);
        if (address.is_v6()) { // a mapped IPv4 address is not an IPv6 address
            return Subnet{address, prefix};
        }
    }
    return std::nullopt;
}

void write(Writer& out, const Subnet& subnet)
{
    const std::size_t length = subnet.address.is_v4() ? 4 : 16;
    out.u8(tlv_addr);
    out.u8(static_cast<std::uint8_t>(2 + length));
    out.u8(subnet.address.is_v4() ? 4 : 6);
    out.u8(subnet.prefix_length);
    out.bytes(ByteView(subnet.address.bytes()).first(length));
}

bool read_models(ByteView value, std::vector<LoadedModel>& models)
{
    for (Reader in(value); in.left() > 0;) {
        if (models.size() >= model_limit) {
            return false;
        }
        LoadedModel model;
        model.name_hash = in.u64();
        model.in_flight = in.u8();
        model.flags = in.u8();
        model.unload_in_s = in.u16();
        models.push_back(model);
    }
    return true;
}

void write(Writer& out, const std::vector<LoadedModel>& models)
{
    if (models.empty()) {
        return;
    }
    const std::size_t count = std::min<std::size_t>(models.size(), 21); // 21 × 12 = 252 fit one TLV
    out.u8(tlv_models);
    out.u8(static_cast<std::uint8_t>(count * 12));
    for (std::size_t i = 0; i < models.size(); ++i) {
        if (i == count) {
            out.u8(tlv_models);
            out.u8(static_cast<std::uint8_t>((models.size() - count) * 12));
        }
        out.u64(models[i].name_hash);
        out.u8(models[i].in_flight);
        out.u8(models[i].flags);
        out.u16(models[i].unload_in_s);
    }
}

void write_text(Writer& out, std::uint8_t type, std::string_view text)
{
    if (!text.empty()) {
        out.u8(type);
        out.u8(static_cast<std::uint8_t>(text.size()));
        out.bytes(net::bytes_of(text));
    }
}

bool take(std::uint8_t type, ByteView value, Fields& fields)
{
    Reader in(value);
    switch (type) {
    case tlv_name: fields.announce.name = clean_text(value); return true;
    case tlv_agent_version: fields.announce.agent_version = clean_text(value); return true;
    case tlv_backend_version: fields.announce.backend_version = clean_text(value); return true;
    case tlv_host: fields.announce.host = read_host(in); return true;
    case tlv_load: fields.announce.load = read_load(in); return true;
    case tlv_gpu: fields.announce.gpus.push_back(read_gpu(in)); return true;
    case tlv_models: return read_models(value, fields.announce.models);
    case tlv_addr: {
        const auto address = read_address(value);
        if (address) {
            fields.announce.addresses.push_back(*address);
        }
        return address.has_value();
    }
    case tlv_agent: {
        Agent agent;
        agent.port = in.u16();
        agent.version_max = in.u8();
        agent.caps = in.u8();
        fields.agent = agent;
        return agent.port != 0;
    }
    case tlv_herds:
        while (in.left() > 0) {
            if (fields.announce.herds.size() >= herd_limit) {
                return false;
            }
            fields.announce.herds.push_back(in.u64());
        }
        return true;
    case tlv_nonce: fields.nonce = in.u64(); return true;
    case tlv_echo: {
        Echo echo;
        echo.herd = in.u64();
        echo.nonce = in.u64();
        fields.announce.echo = echo;
        return true;
    }
    case tlv_ackinfo: {
        Ack ack;
        ack.boot_id = in.u64();
        ack.seq = in.u32();
        ack.wanted_interval_ms = in.u16();
        ack.flags = in.u16();
        fields.ack = ack;
        return true;
    }
    case tlv_herdinfo: {
        Beacon beacon;
        beacon.pool_size = in.u32();
        beacon.answer_window_ms = in.u16();
        beacon.wanted_interval_ms = in.u16();
        fields.herdinfo = beacon;
        return true;
    }
    case tlv_reason: {
        Leave leave;
        leave.reason = in.u8();
        (void)in.u8();
        leave.back_in_s = in.u16();
        fields.reason = leave;
        return true;
    }
    default: return true;
    }
}

} // namespace

std::string clean_text(ByteView value)
{
    std::string text(value.begin(), value.end());
    const bool controls = std::ranges::any_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7F;
    });
    // C1 controls are two bytes in UTF-8: C2 80 … C2 9F.
    bool c1 = false;
    for (std::size_t i = 0; i + 1 < value.size(); ++i) {
        c1 = c1 || (value[i] == 0xC2 && value[i + 1] >= 0x80 && value[i + 1] < 0xA0);
    }
    return controls || c1 || !base::is_utf8(text) ? std::string{} : text;
}

std::expected<Fields, Drop> walk(ByteView tlvs)
{
    Fields fields;
    std::array<std::uint8_t, 16> counts{};
    int seen = 0;
    for (Reader in(tlvs); in.left() > 0;) {
        if (in.left() < 2 || ++seen > tlv_limit) {
            return std::unexpected(Drop::bad_tlv);
        }
        const std::uint8_t type = in.u8();
        const std::size_t length = in.u8();
        if (length > in.left()) {
            return std::unexpected(Drop::bad_tlv);
        }
        const ByteView value = in.take(length);
        const bool known = type >= tlv_name && type <= tlv_reason;
        if (!known) {
            if ((type & tlv_critical) != 0) {
                return std::unexpected(Drop::unknown_critical);
            }
            continue;
        }
        const int most = count_max(type);
        if (!length_fits(type, length) || (most != 0 && ++counts[type] > most) || !take(type, value, fields)) {
            return std::unexpected(Drop::bad_tlv);
        }
    }
    return fields;
}

void write(Writer& out, const Announce& announce)
{
    out.u8(tlv_agent);
    out.u8(4);
    out.u16(announce.agent.port);
    out.u8(announce.agent.version_max);
    out.u8(announce.agent.caps);
    if (announce.host) {
        write(out, *announce.host);
    }
    if (announce.load) {
        write(out, *announce.load);
    }
    for (const Gpu& gpu : announce.gpus) {
        write(out, gpu);
    }
    write(out, announce.models);
    for (const Subnet& subnet : announce.addresses) {
        write(out, subnet);
    }
    write_text(out, tlv_name, announce.name);
    write_text(out, tlv_agent_version, announce.agent_version);
    write_text(out, tlv_backend_version, announce.backend_version);
    if (!announce.herds.empty()) {
        out.u8(tlv_herds);
        out.u8(static_cast<std::uint8_t>(announce.herds.size() * 8));
        for (const std::uint64_t herd : announce.herds) {
            out.u64(herd);
        }
    }
    if (announce.echo) {
        out.u8(tlv_echo);
        out.u8(16);
        out.u64(announce.echo->herd);
        out.u64(announce.echo->nonce);
    }
}

void write(Writer& out, const Beacon& beacon)
{
    if (beacon.nonce) {
        out.u8(tlv_nonce);
        out.u8(8);
        out.u64(*beacon.nonce);
    }
    out.u8(tlv_herdinfo);
    out.u8(12);
    out.u32(beacon.pool_size);
    out.u16(beacon.answer_window_ms);
    out.u16(beacon.wanted_interval_ms);
    out.u32(0);
}

void write(Writer& out, const Ack& ack)
{
    out.u8(tlv_ackinfo);
    out.u8(16);
    out.u64(ack.boot_id);
    out.u32(ack.seq);
    out.u16(ack.wanted_interval_ms);
    out.u16(ack.flags);
}

void write(Writer& out, const Leave& leave)
{
    out.u8(tlv_reason);
    out.u8(4);
    out.u8(leave.reason);
    out.u8(0);
    out.u16(leave.back_in_s);
}

} // namespace herd::discovery::internal
