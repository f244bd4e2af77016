#include "herd-node/probes/amd.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "herd-node/probes/text_file.hpp"

#include <algorithm>
#include <string_view>

namespace herd::node {

namespace {

constexpr std::string_view vendor_amd = "0x1002";

std::string word_of(const std::string& path)
{
    return std::string(base::trim(read_text(path, 256).value_or("")));
}

/// "card0", "card12", but not "card0-DP-1" (a connector). In order of number.
std::vector<std::string> amd_devices(const std::string& root)
{
    const std::string drm = root + "/sys/class/drm/";
    std::vector<std::pair<std::uint64_t, std::string>> found;
    for (const auto& name : list_directory(drm)) {
        const auto number =
            name.starts_with("card") ? base::parse_unsigned(std::string_view(name).substr(4)) : std::nullopt;
        if (number && word_of(drm + name + "/device/vendor") == vendor_amd) {
            found.emplace_back(*number, drm + name + "/device");
        }
    }
    std::ranges::sort(found);
    std::vector<std::string> devices;
    for (auto& [number, path] : found) {
        devices.push_back(std::move(path));
    }
    return devices;
}

std::optional<std::uint64_t> bytes_in(const std::string& path)
{
    const auto number = read_number(path);
    return number && *number >= 0 ? std::optional{static_cast<std::uint64_t>(*number)} : std::nullopt;
}

/// The device's hwmon folder; temperatures in m°C, power in µW.
void read_sensors(const std::string& device, discovery::GpuFacts& reading)
{
    const auto chips = list_directory(device + "/hwmon");
    if (chips.empty()) {
        return;
    }
    const std::string chip = device + "/hwmon/" + chips.front();
    if (const auto t = read_number(chip + "/temp1_input")) {
        reading.temperature_c = static_cast<double>(*t) / 1000.0;
    }
    auto power = read_number(chip + "/power1_average");
    if (!power) {
        power = read_number(chip + "/power1_input");
    }
    if (power) {
        reading.power_w = static_cast<double>(*power) / 1e6;
    }
    if (const auto cap = read_number(chip + "/power1_cap")) {
        reading.power_limit_w = static_cast<double>(*cap) / 1e6;
    }
}

discovery::GpuFacts read_device(const std::string& device)
{
    discovery::GpuFacts reading;
    reading.vendor = "amd";
    reading.name = word_of(device + "/product_name");
    if (reading.name.empty()) {
        reading.name = "AMD GPU " + word_of(device + "/device");
    }
    reading.uuid = word_of(device + "/unique_id");
    const auto total = bytes_in(device + "/mem_info_vram_total");
    const auto used = bytes_in(device + "/mem_info_vram_used");
    reading.failed = !total;
    reading.vram_total = total;
    if (total && used) {
        reading.vram_free = *total - std::min(*used, *total);
    }
    // An APU has a small carve-out and lends the rest of the host's memory through GTT.
    const auto gtt = bytes_in(device + "/mem_info_gtt_total");
    if (total && gtt && *total < 4 * base::gib && *gtt > *total) {
        const auto gtt_used = bytes_in(device + "/mem_info_gtt_used");
        reading.unified_memory = true;
        reading.vram_total = *total + *gtt;
        if (reading.vram_free && gtt_used) {
            reading.vram_free = *reading.vram_free + (*gtt - std::min(*gtt_used, *gtt));
        }
    }
    if (const auto busy = read_number(device + "/gpu_busy_percent"); busy && *busy >= 0 && *busy <= 100) {
        reading.busy = static_cast<double>(*busy) / 100.0;
    }
    read_sensors(device, reading);
    return reading;
}

} // namespace

std::vector<discovery::GpuFacts> read_amd(const std::string& root)
{
    std::vector<discovery::GpuFacts> cards;
    for (const auto& device : amd_devices(root)) {
        cards.push_back(read_device(device));
        cards.back().index = static_cast<int>(cards.size()) - 1;
    }
    return cards;
}

bool has_amd(const std::string& root) { return !amd_devices(root).empty(); }

} // namespace herd::node
