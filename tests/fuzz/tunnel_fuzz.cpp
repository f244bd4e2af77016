// What a proxy says until the way is open: however it is cut, it means the same, and nothing behind it is lost.
// First byte of the input: bit 0, SOCKS 5; bit 1, with a user and a password; the rest, the size of the parts.
#include "http/tunnel.hpp"
#include "http_fuzz.hpp"

using namespace herd;

namespace {

struct Heard {
    std::string sent{};
    bool open{false};
    std::string fault{};
    bool operator==(const Heard&) const = default;
};

/// A byte at a time until the way is open or it failed; the last part may hold more.
Heard hear(const base::Tunnel& tunnel, std::string_view bytes, std::size_t part)
{
    Heard heard;
    http::TunnelTalk talk(tunnel);
    heard.sent += talk.to_send();
    while (!bytes.empty() && !heard.open && heard.fault.empty()) {
        const auto now = bytes.substr(0, part);
        bytes.remove_prefix(now.size());
        const auto taken = talk.take(now);
        heard.open = taken && *taken;
        heard.fault = taken ? "" : taken.error().context;
        heard.sent += talk.to_send();
    }
    return heard;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0 || size > 16384) {
        return 0;
    }
    const bool login = (data[0] & 2) != 0;
    const base::Tunnel tunnel{.kind = (data[0] & 1) != 0 ? base::Tunnel::Kind::socks5 : base::Tunnel::Kind::connect, .host = "p", .port = 1,
                              .user = login ? "u" : "", .password = login ? "w" : "", .to_host = "node", .to_port = 2};
    const std::string bytes(data + 1, data + size);
    const Heard slow = hear(tunnel, bytes, 1);
    const Heard cut = hear(tunnel, bytes, 1 + (data[0] >> 2));
    // In larger parts a proxy may be found to say too much, which one byte at a time is not looked at.
    if (cut.fault.empty()) {
        fuzz::require(cut == slow);
    } else {
        fuzz::require(!slow.fault.empty() || slow.open || tunnel.kind == base::Tunnel::Kind::socks5);
    }
    fuzz::require(slow.sent.size() < 256);
    return 0;
}
