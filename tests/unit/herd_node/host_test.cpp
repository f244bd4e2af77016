// The box: parsing of /proc on recorded files, and a whole box under a directory.
#include "support/catch.hpp"

#include "base/units.hpp"
#include "box.hpp"
#include "herd-node/probes/host.hpp"

using namespace herd;
using namespace herd::node;
using test::Box;
using test::recorded;

TEST_CASE("CPU time counts idle and iowait as not busy, and guest time once")
{
    const auto times = parse_stat(recorded("intel-stat.txt"));
    REQUIRE(times);
    CHECK(times->busy == 1304500 + 2810 + 398110 + 0 + 21044 + 1200);
    CHECK(times->total == times->busy + 98114520 + 84210);
    CHECK_FALSE(parse_stat(""));
    CHECK_FALSE(parse_stat("cpu  1 2\n"));
    CHECK_FALSE(parse_stat("cpu  1 2 x 4 5\n"));
    CHECK_FALSE(parse_stat("cpu0 1 2 3 4\n"));
}

TEST_CASE("the busy share is what passed between two readings")
{
    CHECK(busy_between({100, 1000}, {150, 1100}).value() == Approx(0.5));
    CHECK(busy_between({100, 1000}, {100, 1100}).value() == Approx(0.0));
    CHECK_FALSE(busy_between({100, 1000}, {100, 1000}));
    CHECK_FALSE(busy_between({100, 1000}, {90, 1100}));
}

TEST_CASE("memory comes in bytes, with the kernel's own estimate of what is available")
{
    const auto memory = parse_meminfo(recorded("intel-meminfo.txt"));
    REQUIRE(memory);
    CHECK(memory->total == 32768000 * base::kib);
    CHECK(memory->available == 24 * base::gib);
    CHECK(memory->swap_used == 256 * base::mib);

    const auto old = parse_meminfo("MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 300 kB\n");
    REQUIRE(old);
    CHECK(old->available == 400 * base::kib);
    CHECK_FALSE(parse_meminfo("MemFree: 100 kB\n"));
    CHECK_FALSE(parse_meminfo("MemTotal: 99999999999999999999 kB\n"));
}

TEST_CASE("load and memory pressure are the first numbers of their lines")
{
    CHECK(parse_loadavg("2.10 1.50 1.00 3/512 4242\n").value() == Approx(2.10));
    CHECK_FALSE(parse_loadavg("\n"));
    CHECK_FALSE(parse_loadavg("-1.0 0 0\n"));
    CHECK(parse_pressure(recorded("intel-pressure.txt")).value() == Approx(1.25));
    CHECK_FALSE(parse_pressure("full avg10=0.75\n"));
}

TEST_CASE("cores are hardware threads and distinct cores")
{
    const auto cores = parse_cpuinfo(recorded("intel-cpuinfo.txt"));
    CHECK(cores.logical == 4);
    CHECK(cores.physical == 2);
    const auto arm = parse_cpuinfo("processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\nBogoMIPS\t: 50\n");
    CHECK(arm.logical == 2);
    CHECK(arm.physical == 0);
    CHECK(parse_cpuinfo("").logical == 0);
}

TEST_CASE("the thermometer is the CPU package's, not a disk's or one core's")
{
    const Box box;
    CHECK_FALSE(find_cpu_thermometer(box.root()));
    box.file("sys/class/thermal/thermal_zone0/type", "acpitz\n");
    CHECK_FALSE(find_cpu_thermometer(box.root()));
    box.file("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
    CHECK(find_cpu_thermometer(box.root()) == box.root() + "/sys/class/thermal/thermal_zone1/temp");
    box.file("sys/class/hwmon/hwmon0/name", "nvme\n");
    box.file("sys/class/hwmon/hwmon0/temp1_input", "38850\n");
    box.file("sys/class/hwmon/hwmon3/name", "coretemp\n");
    box.file("sys/class/hwmon/hwmon3/temp2_input", "60000\n");
    box.file("sys/class/hwmon/hwmon3/temp2_label", "Core 0\n");
    box.file("sys/class/hwmon/hwmon3/temp3_input", "61500\n");
    box.file("sys/class/hwmon/hwmon3/temp3_label", "Package id 0\n");
    CHECK(find_cpu_thermometer(box.root()) == box.root() + "/sys/class/hwmon/hwmon3/temp3_input");
}

TEST_CASE("a box is read as a whole, and what is missing stays unknown")
{
    const Box box;
    box.file("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n");
    box.file("proc/cpuinfo", recorded("intel-cpuinfo.txt"));
    HostProbe probe(box.root());
    const auto poor = probe.read();
    CHECK_FALSE(poor.cpu_busy);
    CHECK_FALSE(poor.memory_total);
    CHECK_FALSE(poor.temperature_c);
    CHECK(poor.cores_logical == 4);
    CHECK(poor.cpu == "Intel(R) Core(TM) i5-8400");
    CHECK_FALSE(poor.arch.empty());

    box.file("proc/stat", "cpu  125 0 125 850 0 0 0 0 0 0\n");
    box.file("proc/meminfo", recorded("intel-meminfo.txt"));
    box.file("proc/loadavg", "0.35 0.20 0.10 1/100 99\n");
    box.file("proc/pressure/memory", recorded("intel-pressure.txt"));
    const auto rich = probe.read();
    CHECK(rich.cpu_busy.value() == Approx(0.5));
    CHECK(rich.load1.value() == Approx(0.35));
    CHECK(rich.memory_total == 32768000 * base::kib);
    CHECK(rich.memory_pressure.value() == Approx(1.25));
}

TEST_CASE("a board that does not name its processor is called by its own name")
{
    const Box box;
    box.file("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50\n");
    box.file("proc/device-tree/model", std::string("NVIDIA Jetson Orin Nano Developer Kit\0", 38));
    CHECK(HostProbe(box.root()).read().cpu == "NVIDIA Jetson Orin Nano Developer Kit");
}

TEST_CASE("this very machine can be read")
{
    HostProbe probe;
    const auto facts = probe.read();
    CHECK(facts.cores_logical.value_or(0) >= 1);
    CHECK(facts.memory_total.value_or(0) > 0);
    CHECK(facts.load1);
}
