#pragma once
// The rows of /api/tags and /api/ps as values, each with its own bytes kept. Pure.
// Source: reference/ollama-api.md 1.1 (ListModel, ProcessModel).
#include "fleet/node.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// Nothing when the text is no such list. Rows without a name are left out; at most 10000 count.
[[nodiscard]] std::optional<std::vector<fleet::Model>> parse_tags(std::string_view body);
[[nodiscard]] std::optional<std::vector<fleet::LoadedModel>> parse_ps(std::string_view body);

/// A row of /api/tags says that the model runs at another host: a cloud's model, whatever it is called here (`ollama cp` names it anew).
[[nodiscard]] bool is_remote(std::string_view row);

/// The same of OpenAI's /v1/models: names alone, the rows stay empty.
[[nodiscard]] std::optional<std::vector<fleet::Model>> parse_openai_models(std::string_view body);

/// Nanoseconds since 1970 of an RFC 3339 time with any zone; nothing when it is none. Years beyond 2262
/// (keep_alive -1 gives 2318) are the largest value there is.
[[nodiscard]] std::optional<std::int64_t> parse_rfc3339(std::string_view text);

/// `row` (a JSON object) with one more member at its end: ,"name":value}.
[[nodiscard]] std::string with_member(std::string_view row, std::string_view name, std::string_view value);
/// The same in the object that is the member `inside` of the row; the row as it is when there is none.
[[nodiscard]] std::string with_member_in(std::string_view row, std::string_view inside, std::string_view name, std::string_view value);

} // namespace herd::proxy
