#pragma once
// What the forms of Ollama Herd ask for: POST /fleet/pin and /dashboard/api/pinned-models. Pure.
// Source: reference/parity.md 2.3, 2.5.
#include "base/error.hpp"
#include "base/time.hpp"

#include <string>
#include <string_view>

namespace herd::app {

struct PinRequest {
    std::string model{};
    std::string node{}; ///< name or id; empty: anywhere
    bool wait{false};   ///< until it is in memory
    bool force{false};  ///< without asking whether there is room
    bool pinned{true};  ///< of pinned-models: false takes the pin away
    base::Duration timeout{std::chrono::seconds{30}};
};

/// Members that we do not know are left aside, as there. Errors: malformed, one sentence.
[[nodiscard]] base::Result<PinRequest> parse_pin_request(std::string_view body);
/// The same for parse_pin().
[[nodiscard]] std::string native_body(const PinRequest& request);

} // namespace herd::app
