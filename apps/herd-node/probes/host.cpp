#include "herd-node/probes/host.hpp"

#include "base/text.hpp"
#include "herd-node/probes/text_file.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include <sys/utsname.h>

namespace herd::node {

namespace {

/// The value behind "key" in "key : value" lines; empty when the line is about something else.
std::optional<std::string_view> value_of(std::string_view line, std::string_view key)
{
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || base::trim(line.substr(0, colon)) != key) {
        return std::nullopt;
    }
    return base::trim(line.substr(colon + 1));
}

/// "  32768 kB" in bytes.
std::optional<std::uint64_t> kilobytes(std::string_view value)
{
    const auto number = base::parse_unsigned(value.substr(0, value.find(' ')));
    if (!number || *number > std::numeric_limits<std::uint64_t>::max() / 1024) {
        return std::nullopt;
    }
    return *number * 1024;
}

bool is_cpu_chip(std::string_view name)
{
    static constexpr std::array<std::string_view, 8> known{"coretemp",    "k10temp",         "zenpower",
                                                           "cpu_thermal", "soc_thermal",     "scpi_sensors",
                                                           "cpu",         "bigcore0_thermal"};
    return std::ranges::find(known, name) != known.end();
}

bool is_package_label(std::string_view label)
{
    return label.starts_with("Package id") || label == "Tdie" || label == "Tctl" || label == "CPU";
}

bool is_cpu_zone(std::string_view type)
{
    const std::string lowered = base::lower(type);
    return lowered == "x86_pkg_temp" || lowered.starts_with("cpu") || lowered.starts_with("soc");
}

std::string word_of(const std::string& path)
{
    return std::string(base::trim(read_text(path, 64).value_or("")));
}

} // namespace

std::optional<CpuTimes> parse_stat(std::string_view text)
{
    const auto line = next_line(text);
    if (!line || !line->starts_with("cpu ")) {
        return std::nullopt;
    }
    // user nice system idle iowait irq softirq steal; guest times are already inside user and nice.
    const auto words = split_blanks(line->substr(4));
    if (words.size() < 4) {
        return std::nullopt;
    }
    CpuTimes times;
    for (std::size_t i = 0; i < std::min<std::size_t>(words.size(), 8); ++i) {
        const auto jiffies = base::parse_unsigned(words[i]);
        if (!jiffies) {
            return std::nullopt;
        }
        times.total += *jiffies;
        if (i != 3 && i != 4) {
            times.busy += *jiffies;
        }
    }
    return times;
}

std::optional<double> busy_between(const CpuTimes& then, const CpuTimes& now)
{
    if (now.total <= then.total || now.busy < then.busy) {
        return std::nullopt;
    }
    return std::min(1.0,
                    static_cast<double>(now.busy - then.busy) / static_cast<double>(now.total - then.total));
}

std::optional<Memory> parse_meminfo(std::string_view text)
{
    std::optional<std::uint64_t> total;
    std::optional<std::uint64_t> available;
    std::uint64_t free = 0;
    std::uint64_t cached = 0;
    std::uint64_t swap_total = 0;
    std::uint64_t swap_free = 0;
    while (const auto line = next_line(text)) {
        if (const auto v = value_of(*line, "MemTotal")) {
            total = kilobytes(*v);
        } else if (const auto a = value_of(*line, "MemAvailable")) {
            available = kilobytes(*a);
        } else if (const auto f = value_of(*line, "MemFree")) {
            free = kilobytes(*f).value_or(0);
        } else if (const auto c = value_of(*line, "Cached")) {
            cached = kilobytes(*c).value_or(0);
        } else if (const auto s = value_of(*line, "SwapTotal")) {
            swap_total = kilobytes(*s).value_or(0);
        } else if (const auto u = value_of(*line, "SwapFree")) {
            swap_free = kilobytes(*u).value_or(0);
        }
    }
    if (!total) {
        return std::nullopt;
    }
    Memory memory{*total, available.value_or(free + cached),
                  swap_total > swap_free ? swap_total - swap_free : 0};
    memory.available = std::min(memory.available, memory.total);
    return memory;
}

std::optional<double> parse_loadavg(std::string_view text)
{
    const auto words = split_blanks(text.substr(0, text.find('\n')));
    return words.empty() ? std::nullopt : parse_decimal(words.front());
}

std::optional<double> parse_pressure(std::string_view text)
{
    while (const auto line = next_line(text)) {
        if (!line->starts_with("some ")) {
            continue;
        }
        for (const auto word : split_blanks(*line)) {
            if (word.starts_with("avg10=")) {
                return parse_decimal(word.substr(6));
            }
        }
    }
    return std::nullopt;
}

Processor parse_cpuinfo(std::string_view text)
{
    Processor found;
    std::set<std::pair<std::string_view, std::string_view>> seen; // (socket, core)
    std::string_view socket = "0";
    while (const auto line = next_line(text)) {
        if (value_of(*line, "processor")) {
            ++found.logical;
            socket = "0";
        } else if (const auto name = value_of(*line, "model name"); name && found.name.empty()) {
            found.name = *name;
        } else if (const auto s = value_of(*line, "physical id")) {
            socket = *s;
        } else if (const auto core = value_of(*line, "core id")) {
            seen.emplace(socket, *core);
        }
    }
    found.physical = static_cast<int>(seen.size());
    return found;
}

std::optional<std::string> find_cpu_thermometer(const std::string& root)
{
    const std::string chips = root + "/sys/class/hwmon/";
    for (const auto& chip : list_directory(chips)) {
        if (!is_cpu_chip(word_of(chips + chip + "/name"))) {
            continue;
        }
        std::optional<std::string> any;
        for (const auto& file : list_directory(chips + chip)) {
            if (!file.starts_with("temp") || !file.ends_with("_input")) {
                continue;
            }
            const std::string stem = chips + chip + "/" + file.substr(0, file.size() - 6);
            if (is_package_label(word_of(stem + "_label"))) {
                return stem + "_input";
            }
            if (!any) {
                any = stem + "_input";
            }
        }
        if (any) {
            return any;
        }
    }
    const std::string zones = root + "/sys/class/thermal/";
    for (const auto& zone : list_directory(zones)) {
        if (zone.starts_with("thermal_zone") && is_cpu_zone(word_of(zones + zone + "/type"))) {
            return zones + zone + "/temp";
        }
    }
    return std::nullopt;
}

HostProbe::HostProbe(std::string root) : root_(std::move(root))
{
    processor_ = parse_cpuinfo(read_text(root_ + "/proc/cpuinfo", 4 * 1024 * 1024).value_or(""));
    if (processor_.name.empty()) { // ARM: the board is what people call it by
        const std::string board = read_text(root_ + "/proc/device-tree/model", 256).value_or("");
        processor_.name = base::trim(std::string_view(board).substr(0, board.find('\0')));
    }
    if (utsname names{}; ::uname(&names) == 0) {
        arch_ = names.machine;
    }
    thermometer_ = find_cpu_thermometer(root_);
    previous_ = parse_stat(read_text(root_ + "/proc/stat", 4096).value_or(""));
}

discovery::HostFacts HostProbe::read()
{
    discovery::HostFacts reading;
    reading.cores_logical = processor_.logical > 0 ? std::optional{processor_.logical} : std::nullopt;
    reading.cores_physical = processor_.physical > 0 ? std::optional{processor_.physical} : std::nullopt;
    reading.cpu = processor_.name;
    reading.arch = arch_;
    // The first line is all we need; the rest grows with the number of CPUs and interrupts.
    const auto times = parse_stat(read_text(root_ + "/proc/stat", 1024).value_or(""));
    if (times && previous_) {
        reading.cpu_busy = busy_between(*previous_, *times);
    }
    previous_ = times;
    reading.load1 = parse_loadavg(read_text(root_ + "/proc/loadavg", 256).value_or(""));
    if (const auto memory = parse_meminfo(read_text(root_ + "/proc/meminfo", 16 * 1024).value_or(""))) {
        reading.memory_total = memory->total;
        reading.memory_available = memory->available;
        reading.swap_used = memory->swap_used;
    }
    reading.memory_pressure = parse_pressure(read_text(root_ + "/proc/pressure/memory", 1024).value_or(""));
    if (thermometer_) {
        if (const auto thousandths = read_number(*thermometer_)) {
            reading.temperature_c = static_cast<double>(*thousandths) / 1000.0;
        }
    }
    return reading;
}

} // namespace herd::node
