#pragma once
// Backends of OllamaFlow that are one server: registered once for each ApiFormat, for each of its families of paths. Pure.
// Source: reference/parity.md 3.9, OF-15.
#include "herd/import/object.hpp"

namespace herd::app::import {

/// The same for the same server.
[[nodiscard]] std::string address_of(const Object& backend);

/// `first` with what `again`, the same server, has besides; what cannot be both is told.
void add_to(Object& first, const Object& again);

} // namespace herd::app::import
