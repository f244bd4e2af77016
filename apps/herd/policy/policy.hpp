#pragma once
// herd.toml and what was changed at run time, put together and compiled: checked as a whole, in force as a whole. Pure.
#include "herd/options.hpp"
#include "herd/policy/managed.hpp"
#include "proxy/proxy.hpp"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace herd::app {

struct Policy {
    std::vector<ConfiguredFrontend> frontends{}; ///< in force
    std::vector<ManagedNode> nodes{};            ///< in force, by id or name
    std::set<std::string> managed{};             ///< ids of frontends, and nodes, that were changed at run time
    std::vector<ConfiguredPin> pins{};           ///< in force: those of herd.toml, then those made at run time
    fleet::SettingsOf settings{};                ///< for the fleet
    std::shared_ptr<const proxy::ProxyOptions> proxy{};
};

/// `defaults`: the proxy's options without frontends. `before`: whose counters go on; may be null.
/// Errors: bad_config or conflict, one sentence.
[[nodiscard]] base::Result<Policy> compile_policy(const HerdOptions& options, const Managed& managed,
                                                  const proxy::ProxyOptions& defaults, const proxy::Frontends* before);

} // namespace herd::app
