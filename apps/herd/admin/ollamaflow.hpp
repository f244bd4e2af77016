#pragma once
// OllamaFlow's admin objects (/v1.0/frontends, /v1.0/backends) in terms of ours: a table of names. What a field may be,
// where it is kept and what is wrong with it is said by /herd/v1 alone. Pure. Source: reference/parity.md 3.2, 3.9.
#include "base/error.hpp"

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace herd::app::admin::ollamaflow {

using Json = nlohmann::ordered_json;

enum class Kind : std::uint8_t { frontend, backend };

struct Native {
    Json body = Json::object(); ///< what is to change; null: to its default
    std::string ignored{};      ///< names that mean nothing here, fit to stand in a field
};

[[nodiscard]] bool owns(std::string_view path);
/// An object of /herd/v1 as theirs; of a node: its settings, with what is seen of it, and `lasted_ms`: so long it has its state.
[[nodiscard]] Json theirs(Kind kind, const Json& ours);
/// `now`: the object that is replaced, as theirs; empty: a new one. What theirs has no field for stays as it is.
/// `fixed`: how it is reached cannot be changed here, and stays as it is unless the body says otherwise.
[[nodiscard]] base::Result<Native> ours(Kind kind, std::string_view body, const Json& now, bool fixed = false);
/// What theirs is called of a key of ours; the key itself where they have no such thing.
[[nodiscard]] std::string field_of(Kind kind, std::string_view key);
/// {"error":…} of /herd/v1 as theirs. `linked`: it was not removed because others name it.
[[nodiscard]] std::string error(int status, std::string_view native, bool linked = false);

} // namespace herd::app::admin::ollamaflow
