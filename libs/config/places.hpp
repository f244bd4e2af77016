#pragma once
// Where settings stand, for what is found wrong after reading them: in a file that one names, or with several together.
#include "config/table.hpp"

#include <map>
#include <string>

namespace herd::config {

/// Key → "herd.toml line 7" or "HERD_TLS_CERT", of those that a file or the environment set. A flag's user sees it himself.
using Places = std::map<std::string, std::string, std::less<>>;

[[nodiscard]] Places places_of(const Table& table);

/// `sentence`, led by the place of the first key in it that has one. A sentence that names no such key stays as it is.
[[nodiscard]] std::string with_place(const Places& places, std::string sentence);
/// The same for an error's context.
[[nodiscard]] std::unexpected<base::Error> with_place(const Places& places, base::Error error);

} // namespace herd::config
