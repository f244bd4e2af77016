#pragma once
// The second reader of a head: llhttp, whole and in one go, then the questions that only the whole head
// answers (framing, Host, keep-alive). The one file that sees llhttp is head_read.cpp.
#include "base/error.hpp"
#include "http/message.hpp"

#include <string_view>

namespace herd::http::internal {

/// `bytes` is a whole head that passed HeadScan, which counted `fields`.
/// Errors: malformed; unsupported ("method", "upgrade").
[[nodiscard]] base::Result<void> read_head(std::string_view bytes, std::size_t fields, RequestHead& head);
[[nodiscard]] base::Result<void> read_head(std::string_view bytes, std::size_t fields, ResponseHead& head);

} // namespace herd::http::internal
