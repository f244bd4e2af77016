// Frontends, settings of nodes and pins as JSON: bodies of the admin API, and managed.json after somebody edited it. What is
// taken is written and taken again as the same.
#include "herd/policy/managed.hpp"
#include "herd/policy/pin_request.hpp"

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
    if (const auto managed = parse_managed(text)) {
        const auto written = managed_text(*managed);
        const auto again = parse_managed(written);
        require(again && managed_text(*again) == written);
    }
    if (const auto frontend = changed(ConfiguredFrontend{}, text)) {
        const auto again = changed(ConfiguredFrontend{}, "{" + json_of(*frontend) + "}");
        require(again && json_of(*again) == json_of(*frontend));
    }
    if (const auto node = changed(ManagedNode{.node = "n"}, text)) {
        const auto again = changed(ManagedNode{.node = "n"}, "{" + json_of(*node) + "}");
        require(again && json_of(*again) == json_of(*node));
    }
    if (const auto pin = parse_pin(text)) {
        const auto again = parse_pin("{" + json_of(*pin) + "}");
        require(again && json_of(*again) == json_of(*pin));
    }
    if (const auto request = parse_pin_request(text)) {
        if (const auto pin = parse_pin(native_body(*request), {"force"})) { // else it is no model's name
            require(!pin->model.empty() && pin->replicas == 1);
        }
    }
    return 0;
}
