#pragma once
// Says what is wrong with a JSON text in the words that Ollama's own decoder (Go's encoding/json) uses, so
// that a client cannot tell who refused it. Judges grammar only, of the first value only. Pure.
#include <string>
#include <string_view>

namespace herd::proxy {

/// Empty when the first value of `text` is well-formed; "EOF" when there is none; else one sentence such as
/// "invalid character 'b' looking for beginning of object key string".
[[nodiscard]] std::string go_json_fault(std::string_view text);

} // namespace herd::proxy
