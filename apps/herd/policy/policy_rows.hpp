#pragma once
// The rows of [[frontend]] and [[node]]: one description for herd.toml, the admin API, the managed file and
// docs/config.md.
#include "base/dates.hpp"
#include "config/table.hpp"
#include "fleet/rules.hpp"
#include "proxy/frontend.hpp"

#include <string>
#include <vector>

namespace herd::app {

/// [[frontend]] as it is written.
struct ConfiguredFrontend {
    proxy::FrontendConfig rules{}; ///< but for `nodes`
    std::vector<std::string> nodes{"*"};
    std::vector<std::string> required_models{}; ///< each of its nodes is to have them
    base::MaybeDates dates{};
    /// As the proxy wants it.
    [[nodiscard]] proxy::FrontendConfig config() const;
};

/// What [[node]] may say of any node, with an address or without.
struct ConfiguredSettings {
    fleet::NodeSettings settings{};
    double weight{1};
    std::uint32_t max_parallel{0};
    std::uint32_t tier{0};
    std::optional<std::uint32_t> queue_limit{};
    proxy::PinTexts pins{};
    [[nodiscard]] fleet::NodeSettings node_settings() const;
    /// Nothing differs from what holds for a node that nobody configured.
    [[nodiscard]] bool plain() const;
    bool operator==(const ConfiguredSettings&) const = default;
};

/// [[pins]]: a model that is to stay in memory.
struct ConfiguredPin {
    std::string model{};
    std::string node{};        ///< name or id; empty: anywhere
    std::uint32_t replicas{1}; ///< on so many nodes; 0: on all that have it on disk
    bool operator==(const ConfiguredPin&) const = default;
};

void model_pin_rows(config::Table& table, ConfiguredPin& pin);
/// What is wrong with a pin as a whole; empty: nothing.
[[nodiscard]] std::string model_pin_fault(const ConfiguredPin& pin);

void frontend_rows(config::Table& table, ConfiguredFrontend& frontend);
/// What is wrong with a frontend as a whole; empty: nothing.
[[nodiscard]] std::string frontend_fault(const config::Table& rows);
/// A frontend that has only an id or only a name gets the other.
void complete(ConfiguredFrontend& frontend);

/// Labels and name stand elsewhere.
/// `weight`: of [[node]] that stands with the rows of its address.
void settings_rows(config::Table& table, ConfiguredSettings& settings, bool weight = true);

} // namespace herd::app
