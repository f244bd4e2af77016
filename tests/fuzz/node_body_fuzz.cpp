// How a named node is reached, as JSON of the admin API: a first body adds it, a second one changes it. No secret that it
// has is shown, and what is shown, written back, changes nothing.
#include "herd/static_nodes.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace herd::app;
    const std::string_view text(reinterpret_cast<const char*>(data), size); // NOLINT: bytes are characters here
    ConfiguredNode before{.name = "n", .url = "http://10.0.0.1:11434"};
    before.bearer = "hidden-bearer";
    before.headers = {"X-Own=hidden-header"};
    before.query = {"k=hidden-query"};
    if (const auto added = parse_static_node(text)) {
        before = *added;
    }
    const auto body = split_node_body(text);
    if (!body || body->origin.empty()) {
        return 0;
    }
    for (const bool replace : {false, true}) {
        const auto after = changed_static_node(before, body->origin, replace);
        if (!after) {
            require(after.error().context.find("hidden-") == std::string::npos || text.find("hidden-") != std::string_view::npos);
            continue;
        }
        const auto shown = "{" + masked_node_json(*after) + "}";
        require(shown.find("hidden-") == std::string::npos || text.find("hidden-") != std::string_view::npos);
        const auto again = changed_static_node(*after, shown, replace);
        require(again && *again == *after);
    }
    return 0;
}
