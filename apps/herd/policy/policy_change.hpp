#pragma once
// A change of frontends or of a node's settings as the admin API asks for it, and its answer. Plain values.
#include "base/dates.hpp"

#include <cstdint>
#include <string>

namespace herd::app {

struct PolicyChange {
    enum class What : std::uint8_t {
        add_frontend,    ///< `body`; 409 when there is one
        put_frontend,    ///< as `body` says, the rest as by default
        patch_frontend,  ///< what `body` says
        remove_frontend, ///< back to herd.toml, or gone
        use,             ///< `body`: {"node":…,"frontend":…}
        put_node,
        patch_node,
        reset_node,      ///< back to herd.toml
        add_pin,         ///< `body`: {"model", "node"?, "replicas"?, "force"?}
        remove_pin,      ///< `target`: the model; `body`: of that node only, or empty
    };
    What what{What::patch_frontend};
    std::string target{}; ///< id or name of the frontend or node
    std::string body{};
    std::string if_match{}; ///< an ETag; empty: whatever there is
    bool dry_run{false};
};

struct PolicyAnswer {
    int status{200};
    std::string body{};
    std::string etag{};
    base::MaybeDates dates{}; ///< of a node's settings, which are told together with those of how it is reached
    bool linked{false};       ///< refused because others name it
};

} // namespace herd::app
