#pragma once
// What an Ollama says over its API: pure readings of /api/version, /api/ps, /api/tags, /api/show, and of the
// llama-server's /slots. Each model's own JSON object is kept verbatim, so that a herd can show its clients
// exactly what the node would have shown them.
#include "base/error.hpp"
#include "base/time.hpp"
#include "discovery/node_document.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

/// More models than this on one node are cut off (said once in the log by the caller).
inline constexpr std::size_t models_max = 4096;

/// "0.11.4" out of {"version":"0.11.4"}. Errors: malformed.
[[nodiscard]] base::Result<std::string> parse_version(std::string_view json);

/// The loaded models. `now` turns expires_at into seconds; far-off times (keep_alive -1) are "never".
/// Errors: malformed.
[[nodiscard]] base::Result<std::vector<discovery::LoadedFacts>> parse_ps(std::string_view json,
                                                                         base::WallTime now);

/// The models on disk. Errors: malformed.
[[nodiscard]] base::Result<std::vector<discovery::ModelFacts>> parse_tags(std::string_view json);

/// The file name of the weights ("sha256-ec3f…") a model runs from: the FROM line of /api/show's modelfile.
/// It ties a loaded model to the runner process whose --model names the same file.
[[nodiscard]] std::optional<std::string> parse_show_blob(std::string_view json);

/// Bytes of KV cache that a token of context takes, as the model's metadata in /api/show say (at 16 bits a value; what
/// slides over a window takes less). Empty: they do not say, or nothing plausible.
[[nodiscard]] std::optional<base::Bytes> parse_show_cache(std::string_view json);

/// A llama-server's /slots: how many there are and how many work. Prompts in it are not looked at.
struct Slots {
    int total{0};
    int busy{0};
};
[[nodiscard]] std::optional<Slots> parse_slots(std::string_view json);

/// RFC 3339 with any zone and fraction; empty when it is not one.
[[nodiscard]] std::optional<base::WallTime> parse_rfc3339(std::string_view text);

} // namespace herd::node
