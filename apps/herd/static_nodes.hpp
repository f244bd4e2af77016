#pragma once
// Nodes that a human named: by flag, file or admin API. Plain Ollamas, servers with OpenAI's paths, Ollama Cloud.
#include "base/error.hpp"
#include "fleet/event.hpp"
#include "herd/options.hpp"
#include "http/url.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

struct StaticNode {
    fleet::NodeId id{}; ///< derived from the URL, so that it survives restarts
    ConfiguredNode settings{};
    std::string name{};
    http::Url url{};
    std::vector<std::string> labels{};
    std::optional<int> slots{};
    std::string bearer{}; ///< as found: secret
    std::shared_ptr<const fleet::Manner> manner{}; ///< null: plain HTTP, Ollama, on this LAN
    bool drained{false}; ///< shown to the fleet, takes nothing yet
    base::MaybeDates dates{}; ///< of how it is reached

    [[nodiscard]] bool openai() const { return settings.api == NodeDialect::openai; }
    [[nodiscard]] bool cloud() const { return manner && manner->cloud; }
};

/// What the world around has to do with it.
struct NodeSurroundings {
    std::vector<base::Endpoint> listeners{};      ///< this herd's own
    std::vector<base::IpAddress> own_addresses{}; ///< this host's
    /// The value of a variable, or of the OS keyring's entry for Ollama Cloud; empty when there is none.
    std::function<std::string(const std::string& name)> variable{};
    std::function<std::string()> keyring{};
};

/// Checks and completes what was written, and reads its bearer. Blocks for its files. Errors: bad_config, one sentence.
[[nodiscard]] base::Result<StaticNode> make_static_node(ConfiguredNode settings, const NodeSurroundings& around);

/// The body of POST /herd/v1/nodes. Errors: bad_config, naming the field.
[[nodiscard]] base::Result<ConfiguredNode> parse_static_node(std::string_view json);
/// The same back, secrets included, for the state file.
[[nodiscard]] std::string static_node_json(const ConfiguredNode& settings);

/// A body about a node, in two: how it is reached, and its settings. JSON objects; `origin` empty: nothing of that.
struct NodeBody {
    std::string origin{};
    std::string settings{};
};
/// Errors: bad_config.
[[nodiscard]] base::Result<NodeBody> split_node_body(std::string_view body);
/// The same of a node that is not there yet: `origin` is what parse_static_node() takes, labels and weight with it.
[[nodiscard]] base::Result<NodeBody> split_new_node(std::string_view body);
/// The name of an object's first member.
[[nodiscard]] std::string first_field(std::string_view object);
/// `before` with what `origin` says: null is the default, "***" keeps a secret. `replace`: what is not named gets its
/// default, but for url and name. Errors: bad_config, naming the field.
[[nodiscard]] base::Result<ConfiguredNode> changed_static_node(const ConfiguredNode& before, std::string_view origin, bool replace);
/// How it is reached, as members of an object; every secret is "***".
[[nodiscard]] std::string masked_node_json(const ConfiguredNode& settings);

/// Where the connections to it end: at its own host, or at the proxy.
[[nodiscard]] base::HostPort first_stop(const StaticNode& node);
/// As the fleet wants it; the address is filled in when it is a numeric one.
[[nodiscard]] fleet::StaticAdded added(const StaticNode& node);

} // namespace herd::app
