#pragma once
// Model names as Ollama reads them: [host/][namespace/]model[:tag], defaults registry.ollama.ai, library,
// latest; equal regardless of case. Source: reference/ollama-api.md 1.0 "Model reference parsing".
#include <string>
#include <string_view>

namespace herd::fleet {

struct ModelName {
    bool valid{false};
    std::string key{};     ///< full, lower case: two spellings of one model have one key; used for look-up only
    std::string display{}; ///< shortest form with tag: "llama3.2:latest"
    bool cloud{false};     ///< ":cloud" or "-cloud": costs no local GPU
    [[nodiscard]] static ModelName parse(std::string_view text);
};

} // namespace herd::fleet
