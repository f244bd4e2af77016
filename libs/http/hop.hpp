#pragma once
// What must not pass a proxy: hop-by-hop fields (RFC 9110 §7.6.1) and our own loops.
#include "http/message.hpp"

namespace herd::http {

/// Copies the end-to-end fields of `from` to `to`: everything but Connection and what it names, Keep-Alive,
/// Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, Content-Length, Expect. Of these, those whose name
/// `keep` agrees to. Requires: two different objects.
void copy_end_to_end(const Fields& from, Fields& to, bool (*keep)(std::string_view name) = nullptr);

/// The same for fields that need not be kept otherwise: those that must not pass are taken out.
void keep_end_to_end(Fields& fields, bool (*keep)(std::string_view name) = nullptr);

/// Appends ourselves to Via: "1.1 herd-<id>". True by via_contains() on the way back means a loop.
void add_via(Fields& fields, std::string_view own_id);
[[nodiscard]] bool via_contains(const Fields& fields, std::string_view own_id);

} // namespace herd::http
