// A node's answer to /api/pull, in pieces as they come: never beyond its limits, whatever it says.
#include "herd/sync/pull_stream.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    herd::app::sync::PullStream stream;
    while (!rest.empty()) {
        const std::size_t piece = static_cast<unsigned char>(rest.front()) % 64U + 1;
        if (!stream.feed(rest.substr(0, piece))) {
            break;
        }
        rest.remove_prefix(std::min(piece, rest.size()));
    }
    const int percent = stream.percent();
    if (percent < 0 || percent > 100) {
        std::abort();
    }
    return stream.failure().size() > 1000 ? (std::abort(), 0) : 0;
}
