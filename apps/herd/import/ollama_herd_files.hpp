#pragma once
// Ollama Herd's ~/.fleet-manager as a herd.toml. Pure. Source: reference/parity.md 2.9, 2.16.
#include <string>
#include <string_view>

namespace herd::app::import {

/// `env`: the file of that name, KEY=value lines; `pins`: pinned_models.json; both may be empty. What is not said there has
/// its default there, so that herd does the same. Herd takes what is printed, whatever stands in the files: what it does not
/// take is left out. That, and what herd has nothing for, is told in remarks, secrets without their value.
[[nodiscard]] std::string toml_of_ollama_herd(std::string_view env, std::string_view pins);

} // namespace herd::app::import
