// GPUs: AMD cards as files, NVIDIA cards through a library of our own that speaks NVML's interface.
#include "support/catch.hpp"

#include "base/units.hpp"
#include "box.hpp"
#include "herd-node/probes/amd.hpp"
#include "herd-node/probes/nvidia.hpp"

using namespace herd;
using namespace herd::node;
using test::Box;

namespace {

void add_amd(const Box& box, const std::string& card)
{
    const std::string device = "sys/class/drm/" + card + "/device/";
    box.file(device + "vendor", "0x1002\n");
    box.file(device + "device", "0x744c\n");
    box.file(device + "mem_info_vram_total", "25753026560\n");
    box.file(device + "mem_info_vram_used", "1073741824\n");
    box.file(device + "mem_info_gtt_total", "16777216000\n");
    box.file(device + "gpu_busy_percent", "37\n");
    box.file(device + "hwmon/hwmon5/temp1_input", "54000\n");
    box.file(device + "hwmon/hwmon5/power1_average", "182000000\n");
    box.file(device + "hwmon/hwmon5/power1_cap", "303000000\n");
}

} // namespace

TEST_CASE("an AMD card is read from sysfs")
{
    const Box box;
    add_amd(box, "card1");
    box.file("sys/class/drm/card1-DP-1/status", "connected\n");
    box.file("sys/class/drm/card0/device/vendor", "0x8086\n");
    REQUIRE(has_amd(box.root()));
    const auto cards = read_amd(box.root());
    REQUIRE(cards.size() == 1);
    const auto& card = cards[0];
    CHECK(card.vendor == "amd");
    CHECK(card.index == 0);
    CHECK(card.name == "AMD GPU 0x744c");
    CHECK(card.vram_total == 25753026560);
    CHECK(card.vram_free == 25753026560 - base::gib);
    CHECK(card.busy.value() == Approx(0.37));
    CHECK(card.temperature_c.value() == Approx(54));
    CHECK(card.power_w.value() == Approx(182));
    CHECK(card.power_limit_w.value() == Approx(303));
    CHECK_FALSE(card.unified_memory);
    CHECK_FALSE(card.failed);
}

TEST_CASE("AMD cards come in order of their numbers, and one without figures is marked")
{
    const Box box;
    add_amd(box, "card10");
    add_amd(box, "card2");
    box.file("sys/class/drm/card2/device/product_name", "Radeon PRO W7900\n");
    box.remove("sys/class/drm/card10/device/mem_info_vram_total");
    const auto cards = read_amd(box.root());
    REQUIRE(cards.size() == 2);
    CHECK(cards[0].name == "Radeon PRO W7900");
    CHECK(cards[1].failed);
    CHECK_FALSE(cards[1].vram_total);
}

TEST_CASE("an APU may use what GTT lends it")
{
    const Box box;
    add_amd(box, "card0");
    box.file("sys/class/drm/card0/device/mem_info_vram_total", "536870912\n");
    box.file("sys/class/drm/card0/device/mem_info_vram_used", "536870912\n");
    box.file("sys/class/drm/card0/device/mem_info_gtt_used", "777216000\n");
    const auto cards = read_amd(box.root());
    REQUIRE(cards.size() == 1);
    CHECK(cards[0].unified_memory);
    CHECK(cards[0].vram_total == 536870912 + 16777216000);
    CHECK(cards[0].vram_free == 16000000000);
}

TEST_CASE("no AMD card is nothing special")
{
    const Box box;
    CHECK_FALSE(has_amd(box.root()));
    CHECK(read_amd(box.root()).empty());
}

TEST_CASE("a missing NVIDIA library means no GPU and no error")
{
    NvidiaProbe probe("libnvidia-ml-that-does-not-exist.so.1");
    CHECK_FALSE(probe.usable());
    CHECK(probe.read().empty());
}

TEST_CASE("NVIDIA cards are read through NVML's interface")
{
    NvidiaProbe probe(HERD_FAKE_NVML);
    REQUIRE(probe.usable());
    const auto cards = probe.read();
    REQUIRE(cards.size() == 3);
    const auto& card = cards[0];
    CHECK(card.vendor == "nvidia");
    CHECK(card.name == "NVIDIA GeForce RTX 4090");
    CHECK(card.uuid == "GPU-00000000-1111-2222-3333-444444444444");
    CHECK(card.vram_total == 24 * base::gib);
    CHECK(card.vram_free == 11 * base::gib);
    CHECK(card.busy.value() == Approx(0.37));
    CHECK(card.temperature_c.value() == Approx(54));
    CHECK(card.power_w.value() == Approx(182.5));
    CHECK(card.power_limit_w.value() == Approx(450));
    CHECK(card.memory_gb_per_s == 1008);
    CHECK(card.throttled);
    CHECK_FALSE(card.failed);
    CHECK(cards[1].unified_memory);
    CHECK_FALSE(cards[1].vram_total);
    CHECK_FALSE(cards[1].failed);
    CHECK(cards[2].failed);
}
