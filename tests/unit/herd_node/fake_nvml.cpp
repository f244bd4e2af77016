// A libnvidia-ml of three cards: a healthy one, one that shares the host's memory, and one that was lost.
#include <atomic>
#include <cstring>

#include <unistd.h>

namespace {
int devices[3] = {0, 1, 2};
int number_of(void* device) { return *static_cast<int*>(device); }
void copy(char* into, unsigned length, const char* text) { std::strncpy(into, text, length); }
} // namespace

extern "C" {
std::atomic<bool> herd_fake_nvml_hangs{false};
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetCount_v2(unsigned* count)
{
    while (herd_fake_nvml_hangs) {
        ::usleep(1000);
    }
    *count = 3;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device)
{
    *device = &devices[index];
    return index == 2 ? 15 : 0;
}
int nvmlDeviceGetName(void* device, char* name, unsigned length)
{
    copy(name, length, number_of(device) == 0 ? "NVIDIA GeForce RTX 4090" : "NVIDIA GB10");
    return 0;
}
int nvmlDeviceGetUUID(void* /*device*/, char* uuid, unsigned length)
{
    copy(uuid, length, "GPU-00000000-1111-2222-3333-444444444444");
    return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* memory)
{
    constexpr unsigned long long gib = 1ULL << 30U;
    memory[0] = 24 * gib;
    memory[1] = 11 * gib;
    memory[2] = 13 * gib;
    return number_of(device) == 0 ? 0 : 3;
}
int nvmlDeviceGetUtilizationRates(void* /*device*/, unsigned* rates)
{
    rates[0] = 37;
    rates[1] = 20;
    return 0;
}
int nvmlDeviceGetTemperature(void* /*device*/, unsigned sensor, unsigned* celsius)
{
    *celsius = 54;
    return sensor == 0 ? 0 : 2;
}
int nvmlDeviceGetPowerUsage(void* /*device*/, unsigned* milliwatts)
{
    *milliwatts = 182500;
    return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void* /*device*/, unsigned* milliwatts)
{
    *milliwatts = 450000;
    return 0;
}
int nvmlDeviceGetMaxClockInfo(void* /*device*/, unsigned type, unsigned* megahertz)
{
    *megahertz = type == 2 ? 10501 : 3105;
    return 0;
}
int nvmlDeviceGetMemoryBusWidth(void* /*device*/, unsigned* bits)
{
    *bits = 384;
    return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* /*device*/, unsigned long long* reasons)
{
    *reasons = 0x40;
    return 0;
}
}
