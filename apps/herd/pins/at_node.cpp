#include "herd/pins/at_node.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::app::pins {

/// Ollama writes without spaces. Before 0.30 it does not tell what a model can do: then its family does, or what it is called.
bool embeds(const fleet::Model& model)
{
    const std::string& row = model.row;
    if (row.find("\"capabilities\":[") != std::string::npos) {
        return row.find("\"completion\"") == std::string::npos && row.find("\"embedding\"") != std::string::npos;
    }
    return row.find("bert\"") != std::string::npos || base::lower(model.name).find("embed") != std::string::npos;
}

bool allows(const fleet::NodeView& node, bool embeds)
{
    return !node.settings || (embeds ? node.settings->allow_embeddings : node.settings->allow_completions);
}

bool fills_memory(const fleet::NodeView& node)
{
    return !node.address.cloud() && node.address.api() == fleet::NodeApi::ollama;
}

const fleet::Model* on_disk(const fleet::NodeView& node, const std::string& key)
{
    if (!node.facts) {
        return nullptr;
    }
    const auto found = std::ranges::find(node.facts->models, key, &fleet::Model::key);
    return found == node.facts->models.end() ? nullptr : &*found;
}

const fleet::LoadedModel* in_memory(const fleet::NodeView& node, const std::string& key)
{
    if (!node.facts) {
        return nullptr;
    }
    const auto found = std::ranges::find(node.facts->loaded, key, &fleet::LoadedModel::key);
    return found == node.facts->loaded.end() ? nullptr : &*found;
}

Request request_of(const fleet::NodeView& node, const fleet::Model& model)
{
    return {.node = node.id, .node_name = node.name, .key = model.key, .model = model.name, .address = node.address, .embeds = embeds(model)};
}

} // namespace herd::app::pins
