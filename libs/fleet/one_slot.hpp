#pragma once
// Models of which Ollama runs one request at a time, whatever OLLAMA_NUM_PARALLEL says: some families, and those that
// only embed. Source: reference/ollama-api.md 3.1 (the environment variable's row).
#include <string_view>

namespace herd::fleet {

/// `row`: the model's object in Ollama's own /api/tags, as it was written; possibly empty. Pure.
[[nodiscard]] bool is_one_slot(std::string_view row);

} // namespace herd::fleet
