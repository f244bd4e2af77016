// What a datagram costs: 1000 nodes at one per second are 1000 of these per second.
#include "discovery/datagram.hpp"
#include "micro.hpp"

#include <cstdlib>

namespace {

using namespace herd;
using namespace herd::discovery;
using bench::keep;
using bench::measure;

Header header_of(Type type)
{
    Header header;
    header.type = type;
    header.flags = type == Type::announce ? std::uint16_t{0} : flag::herd;
    header.state = type == Type::announce ? static_cast<std::uint8_t>(State::ready) : std::uint8_t{0};
    header.boot_id = 0x0123456789abcdefU;
    header.seq = 42;
    header.api_port = 11434;
    header.udp_port = default_discovery_port;
    header.time_ms = 1'767'225'600'000U;
    header.state_rev = 7;
    header.sender_id = base::Uuid::parse("3f2504e0-4f89-41d3-9a0c-0305e82c3301").value_or(base::Uuid{});
    return header;
}

/// A workstation with two cards and three models loaded.
Announce typical()
{
    Announce announce;
    announce.agent.caps = cap::watch;
    announce.host = Host{32, 16, 120, 340, 131072, 90000, 0, 12, 550};
    announce.load = Load{2, 0, 8, 6, 3, 21, 870};
    announce.gpus.assign(2, Gpu{0, 1, 80, 64, 24576, 3000, 280, 350, 0, 1008, 0x1234});
    announce.models.assign(3, LoadedModel{model_hash("llama3.2:latest"), 1, model_flag::fully_on_gpu, 280});
    announce.name = "workstation";
    announce.agent_version = "0.1.0";
    announce.backend_version = "0.33.0";
    return announce;
}

void codec(const char* encoding, const char* decoding, const Header& header, const Body& body)
{
    measure(encoding, [&] { keep(encode(header, body)); });
    const Octets bytes = encode(header, body);
    const auto check = parse_header(bytes);
    if (!check || !parse_body(*check, bytes)) {
        (void)std::fputs("lana_bench: the codec refuses its own datagram\n", stderr);
        std::exit(1);
    }
    measure(
        decoding,
        [&] {
            const auto parsed = parse_header(bytes);
            keep(parse_body(*parsed, bytes));
        },
        bytes.size());
}

} // namespace

int main()
{
    bench::print_header();
    codec("encode ANNOUNCE, 2 GPUs, 3 models", "decode the same", header_of(Type::announce), typical());
    Announce full = typical();
    full.gpus.resize(16, full.gpus.front());
    full.models.resize(24, full.models.front());
    codec("encode ANNOUNCE, 16 GPUs, 24 models", "decode the same", header_of(Type::announce), full);
    codec("encode BEACON", "decode the same", header_of(Type::beacon), Beacon{77, 12, 20, 1000});
    const Octets noise(512, 0x5a);
    measure("refuse noise", [&] { keep(parse_header(noise)); });
    measure("model_hash", [&] { keep(model_hash("llama3.2:latest")); });
}
