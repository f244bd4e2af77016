#pragma once
// Every way in which herd itself says no, in one table: what happened → status, code, words. The dialects
// give it its shape. Pure; the table has a golden test.
// Source: design/contract.md 5, reference/parity.md 1.2, reference/ollama-api.md 1.0.
#include "base/error.hpp"
#include "base/time.hpp"
#include "fleet/profile.hpp"
#include "proxy/routes.hpp"

#include <string>
#include <string_view>

namespace herd::proxy {

struct Problem {
    int status{500};
    std::string_view code{"internal"}; ///< stable, for programs
    std::string message{};
    base::Duration retry_after{}; ///< 0: not said
};

/// Status and code of `code`; the message is for the caller.
[[nodiscard]] Problem problem_of(base::Errc code);
/// The same with the error's own words.
[[nodiscard]] Problem problem_of(const base::Error& error);
/// A refusal of the scheduler, in the words of the route. `model` as the client wrote it.
[[nodiscard]] Problem problem_of(const fleet::Refusal& refusal, const Route& route, std::string_view model);

/// "model 'x' not found" as the route words it.
[[nodiscard]] Problem model_not_found(const Route& route, std::string_view model);
[[nodiscard]] Problem bad_request(std::string message);

/// Whole seconds for Retry-After, 1 to 60; 0 when nothing is to be said.
[[nodiscard]] int retry_after_seconds(base::Duration delay);

} // namespace herd::proxy
