#include "herd/translate.hpp"

#include "fleet/model_name.hpp"
#include "proxy/model_rows.hpp"

#include <algorithm>

namespace herd::app {

namespace {

template <class T>
bool is_known(T value)
{
    return value != discovery::unknown<T>;
}

fleet::AnnouncedState announced_of(std::uint8_t state)
{
    return static_cast<fleet::AnnouncedState>(std::min<std::uint8_t>(state, 6));
}

fleet::Doubt doubt_of(std::uint8_t doubts)
{
    if ((doubts & discovery::doubt::new_id) != 0) {
        return fleet::Doubt::new_id;
    }
    if ((doubts & (discovery::doubt::new_boot | discovery::doubt::older_boot)) != 0) {
        return fleet::Doubt::new_boot;
    }
    if ((doubts & discovery::doubt::address_changed) != 0) {
        return fleet::Doubt::address_change;
    }
    return (doubts & discovery::doubt::seq_jump) != 0 ? fleet::Doubt::seq_jump : fleet::Doubt::none;
}

fleet::HostLoad host_of(const discovery::Host& host)
{
    fleet::HostLoad load;
    load.cores = is_known(host.cores_logical) ? host.cores_logical : 0;
    load.cores_physical = is_known(host.cores_physical) ? host.cores_physical : 0;
    if (is_known(host.cpu_busy_permille)) {
        load.cpu_busy = host.cpu_busy_permille / 1000.0;
    }
    if (is_known(host.load1_x100)) {
        load.load1 = host.load1_x100 / 100.0;
    }
    load.memory_total = is_known(host.ram_total_mib) ? host.ram_total_mib * base::mib : 0;
    load.memory_available = is_known(host.ram_available_mib) ? host.ram_available_mib * base::mib : 0;
    load.swap_used = is_known(host.swap_used_mib) ? host.swap_used_mib * base::mib : 0;
    if (is_known(host.cpu_temperature_x10)) {
        load.temperature_c = host.cpu_temperature_x10 / 10.0;
    }
    if (is_known(host.psi_memory_x100)) {
        load.memory_pressure = host.psi_memory_x100 / 100.0;
    }
    return load;
}

std::string_view vendor_name(std::uint8_t vendor)
{
    switch (static_cast<discovery::GpuVendor>(vendor)) {
    case discovery::GpuVendor::nvidia: return "nvidia";
    case discovery::GpuVendor::amd: return "amd";
    case discovery::GpuVendor::intel: return "intel";
    case discovery::GpuVendor::apple: return "apple";
    }
    return "";
}

fleet::Gpu gpu_of(const discovery::Gpu& gpu)
{
    fleet::Gpu result;
    result.vendor = vendor_name(gpu.vendor);
    result.vram_total = is_known(gpu.vram_total_mib) ? gpu.vram_total_mib * base::mib : 0;
    if (is_known(gpu.vram_free_mib)) {
        result.vram_free = gpu.vram_free_mib * base::mib;
    }
    if (is_known(gpu.busy_percent)) {
        result.busy = gpu.busy_percent / 100.0;
    }
    if (is_known(gpu.temperature_c)) {
        result.temperature_c = gpu.temperature_c;
    }
    if (is_known(gpu.power_w)) {
        result.power_w = gpu.power_w;
    }
    result.throttled = (gpu.flags & discovery::gpu_flag::thermal_throttle) != 0;
    result.failed = (gpu.flags & discovery::gpu_flag::error) != 0;
    return result;
}

fleet::NodeSeen seen_of(const discovery::Sighting& sighting, const discovery::Announce& announce)
{
    fleet::NodeSeen seen;
    seen.id = sighting.id();
    seen.source = sighting.arrival.from;
    if (sighting.header.udp_port != 0) {
        seen.source.port = sighting.header.udp_port;
    }
    seen.boot_id = sighting.header.boot_id;
    seen.seq = sighting.header.seq;
    seen.state_rev = sighting.header.state_rev;
    seen.announced = announced_of(sighting.header.state);
    seen.interval = std::chrono::milliseconds{sighting.header.interval_ms};
    seen.detect_mult = sighting.header.detect_mult;
    seen.api_port = sighting.header.api_port;
    seen.agent_port = sighting.agent().port;
    seen.name = announce.name;
    if (announce.host) {
        seen.host = host_of(*announce.host);
    }
    for (const discovery::Gpu& gpu : announce.gpus) {
        seen.gpus.push_back(gpu_of(gpu));
    }
    if (announce.load && is_known(announce.load->in_flight)) {
        seen.in_flight = announce.load->in_flight;
    }
    if (announce.models.size() > 1) { // else all there are are in the one
        for (const discovery::LoadedModel& model : announce.models) {
            seen.busy.emplace_back(model.name_hash, model.in_flight);
        }
    }
    seen.doubt = doubt_of(sighting.doubts);
    seen.via_http = sighting.over_http;
    return seen;
}

std::string_view reason_text(const discovery::Sighting& sighting)
{
    const auto* leave = std::get_if<discovery::Leave>(&sighting.body);
    if (leave == nullptr) {
        return "left";
    }
    switch (static_cast<discovery::LeaveReason>(leave->reason)) {
    case discovery::LeaveReason::shutdown: return "stopped";
    case discovery::LeaveReason::restart: return "restarting";
    case discovery::LeaveReason::suspend: return "suspended";
    case discovery::LeaveReason::address_change: return "changing address";
    }
    return "left";
}

} // namespace

fleet::Event event_of(const discovery::Sighting& sighting)
{
    if (const discovery::Announce* announce = sighting.announce()) {
        return seen_of(sighting, *announce);
    }
    return fleet::NodeLeft{sighting.id(), sighting.header.boot_id, std::string{reason_text(sighting)}};
}

fleet::NodeFacts facts_of(const discovery::NodeDocument& document)
{
    fleet::NodeFacts facts;
    facts.name = document.name;
    facts.agent_version = document.agent_version;
    facts.ollama_version = document.ollama_version;
    facts.boot_id = document.boot_id;
    facts.state_rev = document.state_rev;
    facts.seq = document.seq;
    facts.announced = announced_of(static_cast<std::uint8_t>(document.state));
    facts.api_port = document.api_port;
    facts.agent_port = document.agent_port;
    facts.gateway = document.gateway;
    facts.keys = document.keys;
    if (document.gateway) {
        facts.tls_pin = document.tls_pin;
    }
    facts.labels = document.labels;
    facts.cpu = document.host.cpu;
    facts.arch = document.host.arch;
    facts.host = {.cores = document.host.cores_logical.value_or(0),
                  .cores_physical = document.host.cores_physical.value_or(0),
                  .cpu_busy = document.host.cpu_busy,
                  .load1 = document.host.load1,
                  .memory_total = document.host.memory_total.value_or(0),
                  .memory_available = document.host.memory_available.value_or(0),
                  .swap_used = document.host.swap_used.value_or(0),
                  .memory_pressure = document.host.memory_pressure,
                  .temperature_c = document.host.temperature_c};
    facts.settings = {.keep_alive = document.settings.keep_alive,
                      .num_parallel = document.settings.num_parallel,
                      .max_loaded_models = document.settings.max_loaded_models,
                      .context_length = document.settings.context_length};
    facts.disk_total = document.disk.total;
    facts.disk_free = document.disk.free;
    for (const discovery::GpuFacts& gpu : document.gpus) {
        facts.gpus.push_back({.name = gpu.name,
                              .vendor = gpu.vendor,
                              .vram_total = gpu.vram_total.value_or(0),
                              .vram_free = gpu.vram_free,
                              .busy = gpu.busy,
                              .temperature_c = gpu.temperature_c,
                              .power_w = gpu.power_w,
                              .memory_gb_per_s = gpu.memory_gb_per_s,
                              .throttled = gpu.throttled,
                              .failed = gpu.failed});
    }
    for (const discovery::ModelFacts& model : document.models) {
        facts.models.push_back({.name = model.name,
                                .key = fleet::ModelName::parse(model.name).key,
                                .digest = model.digest,
                                .size = model.size,
                                .modified_at = model.modified_at,
                                .row = model.row,
                                .cache_per_token = model.cache_bytes_per_token.value_or(0),
                                .remote = proxy::is_remote(model.row)});
    }
    for (const discovery::LoadedFacts& model : document.loaded) {
        facts.loaded.push_back({.name = model.name,
                                .key = fleet::ModelName::parse(model.name).key,
                                .digest = model.digest,
                                .size = model.size,
                                .size_vram = model.size_vram,
                                .context_length = static_cast<int>(model.context_length.value_or(0)),
                                .expires_at = model.expires_at,
                                .slots = model.slots,
                                .wire_hash = model.in_flight ? discovery::model_hash(model.name) : 0,
                                .row = model.row});
    }
    facts.slots = document.slots;
    return facts;
}

} // namespace herd::app
