#pragma once
// The lists that herd answers for the whole fleet, in Ollama's shapes: each row keeps the bytes that a node
// wrote. With more than one node rows carry a member "herd" that says where. Pure but for ask_ps and
// ask_status, which ask the nodes. `seen`: which models the asker may know of; `members`: on which nodes (null: all).
// Source: reference/ollama-api.md 2.2; reference/ollama-probe.txt.
#include "fleet/snapshot.hpp"
#include "proxy/access.hpp"
#include "proxy/ask.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// {"models":[…]}, one row per name, newest first.
[[nodiscard]] std::string tags_body(const fleet::Snapshot& snapshot, const ModelFilter& seen = {},
                                    const fleet::Members* members = nullptr);
/// {"models":[…]}: the tools beside nodes and the models that make images, by name; as Ollama Herd tells them.
[[nodiscard]] std::string image_models_body(const fleet::Snapshot& snapshot, const ModelFilter& seen = {},
                                            const fleet::Members* members = nullptr);
/// "z-image-turbo" of "z-image-turbo:latest".
[[nodiscard]] std::string_view short_name(std::string_view name);
/// {"object":"list","data":[…]} and a line end; data is null when there are none, as Ollama has it.
[[nodiscard]] std::string models_body(const fleet::Snapshot& snapshot, const ModelFilter& seen = {},
                                    const fleet::Members* members = nullptr);
/// One row of it, `id` as asked; empty when nobody has the model.
[[nodiscard]] std::string model_body(const fleet::Snapshot& snapshot, std::string_view id, const ModelFilter& seen = {},
                                    const fleet::Members* members = nullptr);
/// {"version":"…"}: the lowest of the nodes that serve, else the lowest known, else 0.0.0.
[[nodiscard]] std::string version_body(const fleet::Snapshot& snapshot);
/// Lower as versions go: numbers by value, a suffix before none.
[[nodiscard]] bool version_less(std::string_view a, std::string_view b);

/// What one node has in memory.
struct NodeLoad {
    std::string node{};
    std::vector<fleet::LoadedModel> loaded{};
};
/// {"models":[…]}, one row per node and model, longest remaining first.
[[nodiscard]] std::string ps_body(const std::vector<NodeLoad>& nodes, bool name_nodes, const ModelFilter& seen = {});

/// Asks every serving node for /api/ps, tells the fleet, and falls back on the snapshot for who is silent.
[[nodiscard]] net::Task<std::string> ask_ps(Context& context, std::string own_id, ModelFilter seen,
                                         const fleet::Members* members);
/// {"cloud":{…}}: disabled when it is on every node.
[[nodiscard]] net::Task<std::string> ask_status(Context& context, std::string own_id, const fleet::Members* members);

} // namespace herd::proxy
