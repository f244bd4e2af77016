// What the datagram says of a node document: the same facts, smaller. Also which of them are news.
#include "discovery/node_document.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace herd::discovery {

namespace {

/// `value * scale` as a number of the wire: rounded, kept below all-ones, all-ones when not known.
template <class T, class From>
T wire(const std::optional<From>& value, double scale = 1.0)
{
    if (!value) {
        return unknown<T>;
    }
    const double scaled = std::round(static_cast<double>(*value) * scale);
    const double most = std::is_signed_v<T> ? static_cast<double>(std::numeric_limits<T>::max())
                                            : static_cast<double>(unknown<T>) - 1;
    return static_cast<T>(std::clamp(scaled, 0.0, most));
}

template <class T>
T count(std::size_t value)
{
    return static_cast<T>(std::min<std::size_t>(value, unknown<T> - 1));
}

constexpr double per_mib = 1.0 / static_cast<double>(base::mib);

Host host_of(const HostFacts& facts)
{
    Host host;
    host.cores_logical = wire<std::uint16_t>(facts.cores_logical);
    host.cores_physical = wire<std::uint16_t>(facts.cores_physical);
    host.cpu_busy_permille = std::min(wire<std::uint16_t>(facts.cpu_busy, 1000),
                                      facts.cpu_busy ? std::uint16_t{1000} : unknown<std::uint16_t>);
    host.load1_x100 = wire<std::uint16_t>(facts.load1, 100);
    host.ram_total_mib = wire<std::uint32_t>(facts.memory_total, per_mib);
    host.ram_available_mib = wire<std::uint32_t>(facts.memory_available, per_mib);
    host.swap_used_mib = wire<std::uint32_t>(facts.swap_used, per_mib);
    host.psi_memory_x100 = std::min(wire<std::uint16_t>(facts.memory_pressure, 100),
                                    facts.memory_pressure ? std::uint16_t{10000} : unknown<std::uint16_t>);
    host.cpu_temperature_x10 = wire<std::int16_t>(facts.temperature_c, 10);
    return host;
}

std::uint8_t vendor_of(std::string_view name)
{
    constexpr std::array<std::string_view, 4> names{"nvidia", "amd", "intel", "apple"};
    const auto found = std::ranges::find(names, name);
    return found == names.end() ? unknown<std::uint8_t> : static_cast<std::uint8_t>(found - names.begin() + 1);
}

Gpu gpu_of(const GpuFacts& facts)
{
    Gpu gpu;
    gpu.index = static_cast<std::uint8_t>(std::clamp(facts.index, 0, 254));
    gpu.vendor = vendor_of(facts.vendor);
    gpu.busy_percent = std::min(wire<std::uint8_t>(facts.busy, 100),
                                facts.busy ? std::uint8_t{100} : unknown<std::uint8_t>);
    gpu.temperature_c = wire<std::uint8_t>(facts.temperature_c);
    gpu.vram_total_mib = wire<std::uint32_t>(facts.vram_total, per_mib);
    gpu.vram_free_mib = wire<std::uint32_t>(facts.vram_free, per_mib);
    gpu.power_w = wire<std::uint16_t>(facts.power_w);
    gpu.power_limit_w = wire<std::uint16_t>(facts.power_limit_w);
    gpu.flags = static_cast<std::uint8_t>((facts.unified_memory ? gpu_flag::unified_memory : 0)
                                          | (facts.throttled ? gpu_flag::thermal_throttle : 0)
                                          | (facts.failed ? gpu_flag::error : 0));
    gpu.memory_gb_per_s = wire<std::uint16_t>(facts.memory_gb_per_s);
    if (!facts.uuid.empty()) {
        const auto digest = net::sha256(facts.uuid);
        gpu.uuid_hash = (std::uint32_t{digest[0]} << 24) | (std::uint32_t{digest[1]} << 16)
            | (std::uint32_t{digest[2]} << 8) | digest[3];
    }
    return gpu;
}

LoadedModel loaded_of(const LoadedFacts& facts)
{
    LoadedModel model;
    model.name_hash = model_hash(facts.name);
    model.in_flight = static_cast<std::uint8_t>(std::clamp(facts.in_flight.value_or(0), 0, 254));
    const bool on_gpu = facts.size > 0 && facts.size_vram >= facts.size;
    model.flags = static_cast<std::uint8_t>((facts.loading ? model_flag::loading : 0)
                                            | (on_gpu ? model_flag::fully_on_gpu : 0));
    model.unload_in_s = wire<std::uint16_t>(facts.unload_in_s);
    return model;
}

Load load_of(const NodeDocument& document)
{
    std::optional<int> slots;
    for (const LoadedFacts& loaded : document.loaded) {
        if (const auto own = loaded.slots ? loaded.slots : document.slots) {
            slots = std::min(slots.value_or(0) + std::min(*own, 65535), 65534);
        }
    }
    if (document.loaded.empty()) {
        slots = document.slots;
    }
    Load load;
    load.in_flight = wire<std::uint16_t>(std::optional{document.in_flight});
    load.queued = wire<std::uint16_t>(std::optional{document.queued});
    load.slots_total = wire<std::uint16_t>(slots);
    if (slots) {
        load.slots_free = wire<std::uint16_t>(std::optional{std::max(0, *slots - document.in_flight)});
    }
    load.models_loaded = count<std::uint16_t>(document.loaded.size());
    load.models_available = count<std::uint16_t>(document.models.size());
    load.tokens_per_s_x10 = wire<std::uint32_t>(document.tokens_per_s, 10);
    return load;
}

/// The document without what changes by itself.
NodeDocument stable_part(NodeDocument document)
{
    document.seq = 0;
    document.state_rev = 0;
    document.in_flight = 0;
    document.queued = 0;
    document.tokens_per_s.reset();
    HostFacts host;
    host.cores_logical = document.host.cores_logical;
    host.cores_physical = document.host.cores_physical;
    host.memory_total = document.host.memory_total;
    document.host = host;
    if (document.disk.total && document.disk.free && *document.disk.total >= 100) {
        *document.disk.free -= *document.disk.free % (*document.disk.total / 100); // news by the percent
    }
    for (GpuFacts& gpu : document.gpus) {
        gpu.vram_free.reset();
        gpu.busy.reset();
        gpu.temperature_c.reset();
        gpu.power_w.reset();
        gpu.throttled = false;
    }
    for (LoadedFacts& loaded : document.loaded) {
        loaded.in_flight.reset();
        loaded.unload_in_s.reset();
        loaded.row.clear(); // it holds expires_at, which each request moves
        loaded.expires_at.resize(std::min(loaded.expires_at.size(), std::string_view("2026-11-20T17:05").size()));
    }
    return document;
}

} // namespace

bool differs_in_stable_part(const NodeDocument& before, const NodeDocument& now)
{
    return stable_part(before) != stable_part(now);
}

Facts facts_of(const NodeDocument& document)
{
    Facts facts;
    facts.state = document.state;
    facts.state_rev = document.state_rev;
    facts.api_port = document.api_port;
    Announce& announce = facts.announce;
    announce.agent.port = document.agent_port;
    announce.agent.caps = document.watch ? cap::watch : std::uint8_t{0};
    announce.host = host_of(document.host);
    announce.load = load_of(document);
    for (const GpuFacts& gpu : document.gpus) {
        announce.gpus.push_back(gpu_of(gpu));
    }
    for (const LoadedFacts& loaded : document.loaded) {
        announce.models.push_back(loaded_of(loaded));
    }
    for (const Subnet& own : document.addresses) {
        announce.addresses.push_back({own.address.without_scope(), own.prefix_length});
    }
    announce.name = document.name;
    announce.agent_version = document.agent_version;
    announce.backend_version = document.ollama_version;
    return facts;
}

Header header_of(const NodeDocument& document)
{
    Header header;
    header.type = Type::announce;
    header.flags = document.ephemeral_id ? flag::ephemeral_id : std::uint16_t{0};
    header.interval_ms = document.interval_ms;
    header.detect_mult = document.detect_mult;
    header.state = static_cast<std::uint8_t>(document.state);
    header.sender_id = document.sender_id;
    header.boot_id = document.boot_id;
    header.seq = document.seq;
    header.api_port = document.api_port;
    header.state_rev = document.state_rev;
    header.cluster = document.cluster;
    return header;
}

} // namespace herd::discovery
