#pragma once
// OllamaFlow's settings and objects as a herd.toml. Pure. Source: reference/parity.md 3.2, 3.9.
#include "herd/import/object.hpp"

namespace herd::app::import {

/// `settings`: ollamaflow.json, or empty. The same server twice, once for each ApiFormat, becomes one node. Herd takes what
/// is printed, whatever stands in the rows: a value that it does not take is mended or left out, and a remark tells the
/// object, the field and what was done. Secrets of backends stand in the text, and in no remark.
[[nodiscard]] std::string toml_of_ollamaflow(std::string_view settings, const std::vector<Row>& frontends, const std::vector<Row>& backends);

} // namespace herd::app::import
