// Bodies of requests for images: whatever a client sends, a tool is called with bounded numbers, and with as many
// arguments as its command has at most.
#include "herd-node/media/tools.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace herd;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const std::vector<std::string> command{"tool", "-p", "{prompt}", "{negative_prompt}", "--size={width}x{height}", "--seed", "{seed}", "{output}"};
    for (const auto dialect : {proxy::Dialect::ollama, proxy::Dialect::openai}) {
        const auto request = node::parse_image_request(body, dialect);
        if (!request) {
            continue;
        }
        const bool bounded = request->width >= 64 && request->width <= 4096 && request->height >= 64 && request->height <= 4096
            && request->steps >= 1 && request->steps <= 200 && request->prompt.size() <= 16384 && !request->prompt.empty();
        const auto called = node::fill_command(command, *request, "/tmp/o.png");
        const bool called_well = called.size() <= command.size() && called.back() == "/tmp/o.png" && !called.at(2).starts_with('-');
        if (!bounded || !called_well || request->model != node::model_of(body)) {
            std::abort();
        }
    }
    return 0;
}
