#pragma once
// Every route that is herd's own, and which key it needs once keys are on. The gate asks this table; what is not in
// it needs an admin key, so a route that is forgotten here is closed, not open. The access matrix of the tests is made
// from it and from the proxy's table (`herd --dump-routes`). Pure.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace herd::app::admin {

enum class Scope : std::uint8_t {
    open,  ///< nobody is asked: liveness, the login form
    node,  ///< herd-node talks here; discovery's own rules decide (docs/adr/0004)
    user,  ///< any good key, where keys are required; tells nothing of other people's requests
    fleet, ///< the same, but not for keys of certain models: tells which nodes and models there are
    admin, ///< a key with admin scope
};

struct OwnRoute {
    std::string_view method; ///< GET stands for HEAD too
    std::string_view pattern; ///< a segment ":" is any one
    Scope scope{Scope::admin};
    bool changes{false};     ///< without keys: from this machine only
};

[[nodiscard]] std::span<const OwnRoute> own_routes();

/// The row for a request; one that says "admin, changes unless it reads" where the table has none.
[[nodiscard]] OwnRoute own_route(std::string_view method, std::string_view path);

[[nodiscard]] std::string_view to_string(Scope scope);
/// All routes of this program, proxied ones too, one JSON object a line: {"method","path","scope","changes"}.
[[nodiscard]] std::string routes_text();

} // namespace herd::app::admin
