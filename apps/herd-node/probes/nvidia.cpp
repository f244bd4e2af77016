#include "herd-node/probes/nvidia.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <dlfcn.h>

namespace herd::node {

namespace {

// The part of NVML's C interface that we call. Results: 0 is success, 3 "not supported", 15 "GPU is lost".
using Device = void*;
constexpr int success = 0;
constexpr int not_supported = 3;
constexpr unsigned sensor_gpu = 0;
constexpr unsigned clock_memory = 2;
/// Software and hardware thermal slowdown among the clock limiting reasons.
constexpr unsigned long long reason_thermal = 0x20ULL | 0x40ULL;
constexpr unsigned devices_max = 64;

/// nvmlMemory_t and nvmlUtilization_t, as the rows of numbers that they are.
using MemoryInfo = std::array<unsigned long long, 3>; // total, free, used; bytes
using Utilization = std::array<unsigned, 2>;          // GPU, memory; percent

template <class Function>
void load(void* library, const char* name, Function*& into)
{
    void* symbol = ::dlsym(library, name);
    static_assert(sizeof symbol == sizeof into);
    std::memcpy(&into, &symbol, sizeof symbol); // POSIX: an object pointer holds a function's address
}

std::string text_of(const std::array<char, 128>& buffer)
{
    return {buffer.data(), ::strnlen(buffer.data(), buffer.size())};
}

} // namespace

struct NvidiaProbe::Library {
    void* handle{nullptr};
    bool initialised{false};
    int (*init)(){nullptr};
    int (*shutdown)(){nullptr};
    int (*count)(unsigned*){nullptr};
    int (*by_index)(unsigned, Device*){nullptr};
    // From here on each may be missing in old libraries; the field is unknown then.
    int (*name)(Device, char*, unsigned){nullptr};
    int (*uuid)(Device, char*, unsigned){nullptr};
    int (*memory)(Device, unsigned long long*){nullptr};
    int (*utilization)(Device, unsigned*){nullptr};
    int (*temperature)(Device, unsigned, unsigned*){nullptr};
    int (*power)(Device, unsigned*){nullptr};
    int (*power_limit)(Device, unsigned*){nullptr};
    int (*clock_max)(Device, unsigned, unsigned*){nullptr};
    int (*bus_width)(Device, unsigned*){nullptr};
    int (*throttle)(Device, unsigned long long*){nullptr};

    explicit Library(const std::string& file) : handle(::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL))
    {
        if (handle == nullptr) {
            return;
        }
        load(handle, "nvmlInit_v2", init);
        load(handle, "nvmlShutdown", shutdown);
        load(handle, "nvmlDeviceGetCount_v2", count);
        load(handle, "nvmlDeviceGetHandleByIndex_v2", by_index);
        load(handle, "nvmlDeviceGetName", name);
        load(handle, "nvmlDeviceGetUUID", uuid);
        load(handle, "nvmlDeviceGetMemoryInfo", memory);
        load(handle, "nvmlDeviceGetUtilizationRates", utilization);
        load(handle, "nvmlDeviceGetTemperature", temperature);
        load(handle, "nvmlDeviceGetPowerUsage", power);
        load(handle, "nvmlDeviceGetEnforcedPowerLimit", power_limit);
        load(handle, "nvmlDeviceGetMaxClockInfo", clock_max);
        load(handle, "nvmlDeviceGetMemoryBusWidth", bus_width);
        load(handle, "nvmlDeviceGetCurrentClocksThrottleReasons", throttle);
        initialised = init != nullptr && count != nullptr && by_index != nullptr && init() == success;
    }
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    ~Library()
    {
        if (initialised && shutdown != nullptr) {
            (void)shutdown();
        }
        if (handle != nullptr) {
            (void)::dlclose(handle);
        }
    }

    void identify(Device device, discovery::GpuFacts& reading) const
    {
        std::array<char, 128> buffer{};
        if (name != nullptr && name(device, buffer.data(), buffer.size() - 1) == success) {
            reading.name = text_of(buffer);
        }
        buffer.fill('\0');
        if (uuid != nullptr && uuid(device, buffer.data(), buffer.size() - 1) == success) {
            reading.uuid = text_of(buffer);
        }
        unsigned clock = 0;
        unsigned bits = 0;
        if (clock_max != nullptr && bus_width != nullptr && clock_max(device, clock_memory, &clock) == success
            && bus_width(device, &bits) == success) {
            reading.memory_gb_per_s = static_cast<int>(memory_bandwidth(clock, bits));
        }
    }

    void measure(Device device, discovery::GpuFacts& reading) const
    {
        MemoryInfo info{};
        const int result = memory != nullptr ? memory(device, info.data()) : not_supported;
        if (result == success) {
            reading.vram_total = info[0];
            reading.vram_free = std::min(info[1], info[0]);
        } else {
            // Jetson and Grace boards have no memory of their own; any other answer is a fault.
            (result == not_supported ? reading.unified_memory : reading.failed) = true;
        }
        Utilization rates{};
        if (utilization != nullptr && utilization(device, rates.data()) == success && rates[0] <= 100) {
            reading.busy = static_cast<double>(rates[0]) / 100.0;
        }
        unsigned value = 0;
        if (temperature != nullptr && temperature(device, sensor_gpu, &value) == success) {
            reading.temperature_c = static_cast<double>(value);
        }
        if (power != nullptr && power(device, &value) == success) {
            reading.power_w = static_cast<double>(value) / 1000.0;
        }
        if (power_limit != nullptr && power_limit(device, &value) == success) {
            reading.power_limit_w = static_cast<double>(value) / 1000.0;
        }
        unsigned long long reasons = 0;
        reading.throttled =
            throttle != nullptr && throttle(device, &reasons) == success && (reasons & reason_thermal) != 0;
    }
};

NvidiaProbe::NvidiaProbe(const std::string& library) : library_(std::make_unique<Library>(library)) {}
NvidiaProbe::~NvidiaProbe() = default;

bool NvidiaProbe::usable() const { return library_->initialised; }

std::vector<discovery::GpuFacts> NvidiaProbe::read()
{
    std::vector<discovery::GpuFacts> cards;
    unsigned count = 0;
    if (!library_->initialised || library_->count(&count) != success) {
        return cards;
    }
    for (unsigned index = 0; index < std::min(count, devices_max); ++index) {
        discovery::GpuFacts reading;
        reading.vendor = "nvidia";
        reading.index = static_cast<int>(index);
        Device device = nullptr;
        if (library_->by_index(index, &device) != success) {
            reading.failed = true;
        } else {
            library_->identify(device, reading);
            library_->measure(device, reading);
        }
        cards.push_back(std::move(reading));
    }
    return cards;
}

double memory_bandwidth(unsigned clock_mhz, unsigned bus_bits)
{
    return 2.0 * static_cast<double>(clock_mhz) * static_cast<double>(bus_bits) / 8.0 / 1000.0;
}

} // namespace herd::node
