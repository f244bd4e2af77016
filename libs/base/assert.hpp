#pragma once
// HERD_ASSERT states what only a programmer can break. It stays on in release builds. Whatever a
// datagram, a client, a node, a disk or a file can cause is a Result, never an assertion.

namespace herd::base {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): needs the expression's text and place
#define HERD_ASSERT(expression)                                                                              \
    (static_cast<bool>(expression) ? static_cast<void>(0)                                                    \
                                   : ::herd::base::assertion_failed(#expression, __FILE__, __LINE__))
