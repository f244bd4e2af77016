#include "herd/pins/at_node.hpp"

#include <algorithm>

namespace herd::app::pins {

namespace {

/// Ollama writes without spaces. Before 0.30 it does not tell what a model can do: then its family does.
bool embeds(const fleet::Model& model)
{
    if (model.row.find("\"capabilities\":[") != std::string::npos) {
        return model.row.find("\"completion\"") == std::string::npos && model.row.find("\"embedding\"") != std::string::npos;
    }
    return model.row.find("bert\"") != std::string::npos;
}

} // namespace

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
