#pragma once
// The golden vectors of lana.md, appendix A: bytes, and the values they stand for.
#include "base/assert.hpp"
#include "base/text.hpp"
#include "discovery/authenticator.hpp"
#include "discovery/datagram.hpp"

#include <string>
#include <string_view>

namespace herd::discovery::vectors {

inline Octets bytes(std::string_view hex)
{
    std::string digits;
    for (const char c : hex) {
        if (c != ' ' && c != '\n') {
            digits += c;
        }
    }
    Octets out(digits.size() / 2);
    HERD_ASSERT(base::from_hex(digits, out));
    return out;
}

inline Octets v1() { return bytes("4c414e41"); }
inline Octets v2()
{
    return bytes("4c414e41 01020011 00584000 13880301 7c9e6679 742540de 944be07f c1f90ae7"
                 "00064748 46204000 00000001 2cab2cac 0000019b 76daacd2 00000000 00000000"
                 "0b080102 03040506 07080e0c 00000003 00c803e8 00000000");
}
inline Octets v3()
{
    return bytes("4c414e41 01010002 01024001 03e80301 0f8fad5b d9cb469f a1657086 7728950e"
                 "00064748 46204000 0000002a 2caa0000 0000019b 76daacd2 00000007 a51146d3"
                 "07042cac 01000218 00200010 007d00d2 00020000 00018000 00000000 ffff0267"
                 "03100001 00000004 00040001 000c0000 03690418 00012536 00006000 00002c00"
                 "00b601c2 000003f0 deadbeef 050c925b 2caf9832 38a50102 011f0606 0418c0a8"
                 "07020109 6770752d 626f782d 31080f68 6572642d 6e6f6465 20302e31 2e300906"
                 "302e3331 2e320a08 7c9e6679 742540de 0c107c9e 66797425 40de0102 03040506"
                 "07086cc2 82c6f4ae 33d3eb23 94dbbfa6 592f16b7 9c9bffc5 f47a6297 f1875a87"
                 "0a5e");
}
inline Octets v4()
{
    return bytes("4c414e41 01030012 00724001 13880301 7c9e6679 742540de 944be07f c1f90ae7"
                 "00064748 46204000 00000009 2cab2cac 0000019b 76daacd2 00000000 a51146d3"
                 "0d100006 47484620 40000000 002a03e8 000001bd 6caef480 7be9883d 4258c491"
                 "204d7e3b 44d39b64 6d9c0fc8 ec3d8eaa 3a40");
}
inline Octets v5()
{
    return bytes("4c414e41 01040000 00664001 03e80303 0f8fad5b d9cb469f a1657086 7728950e"
                 "00064748 46204000 0000002b 2caa0000 0000019b 76daacd2 00000007 a51146d3"
                 "0f040100 0000d148 fb85c503 1665a1df 46d69524 deb375ed 9cf22941 cb2d124f"
                 "7e907f42 c08a");
}
inline Octets v6()
{
    return bytes("4c414e41 01010004 00724000 03e80301 0f8fad5b d9cb469f a1657086 7728950e"
                 "00064748 46204000 00000001 2cac0000 0000019b 76daacd2 00000001 00000000"
                 "07042cac 01000218 00080004 00320023 00008000 00006000 00000000 000001e2"
                 "03100000 00000001 00010000 00030000 0000");
}

inline const base::Uuid node_id = *base::Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
inline const base::Uuid herd_id = *base::Uuid::parse("7c9e6679-7425-40de-944b-e07fc1f90ae7");
inline constexpr std::uint64_t boot_id = 1767225600000000;
inline constexpr std::uint64_t time_ms = 1767225601234;

inline FleetKey fleet_key(std::uint8_t id = 1)
{
    FleetKey key{id, Octets(32)};
    for (std::size_t i = 0; i < key.secret.size(); ++i) {
        key.secret[i] = static_cast<std::uint8_t>(i);
    }
    return key;
}
inline Authenticator lab(AuthMode mode = AuthMode::require) { return *Authenticator::make(mode, {fleet_key()}); }

inline Header node_header()
{
    Header header;
    header.sender_id = node_id;
    header.boot_id = boot_id;
    header.time_ms = time_ms;
    header.state = 1;
    return header;
}
inline Header herd_header()
{
    Header header;
    header.flags = flag::herd;
    header.interval_ms = 5000;
    header.state = 1;
    header.sender_id = herd_id;
    header.boot_id = boot_id;
    header.api_port = 11435;
    header.udp_port = 11436;
    header.time_ms = time_ms;
    return header;
}

inline Announce full_announce()
{
    Announce a;
    a.agent = {11436, 1, 0};
    a.host = Host{32, 16, 125, 210, 128 * 1024, 96 * 1024, 0, unknown<std::uint16_t>, 615};
    a.load = Load{1, 0, 4, 4, 1, 12, 873};
    Gpu gpu;
    gpu.index = 0;
    gpu.vendor = 1;
    gpu.busy_percent = 37;
    gpu.temperature_c = 54;
    gpu.vram_total_mib = 24 * 1024;
    gpu.vram_free_mib = 11 * 1024;
    gpu.power_w = 182;
    gpu.power_limit_w = 450;
    gpu.memory_gb_per_s = 1008;
    gpu.uuid_hash = 0xDEADBEEF;
    a.gpus = {gpu};
    a.models = {{model_hash("llama3.2:3b"), 1, model_flag::fully_on_gpu, 287}};
    a.addresses = {{*base::IpAddress::parse("192.168.7.2"), 24}};
    a.name = "gpu-box-1";
    a.agent_version = "herd-node 0.1.0";
    a.backend_version = "0.31.2";
    a.herds = {herd_id.prefix()};
    a.echo = Echo{herd_id.prefix(), 0x0102030405060708};
    return a;
}

} // namespace herd::discovery::vectors
