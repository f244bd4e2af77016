// Tools beside nodes: what makes images and writes speech down, and is asked as a model is. docs/MEDIA.md.
#include "fleet/model_name.hpp"
#include "proxy/exchange.hpp"
#include "proxy/merged.hpp"

#include <algorithm>
#include <utility>

namespace herd::proxy {
namespace {

using fleet::Tool;

/// Some node has a tool of the kind under that name; what others have under it does not matter.
bool has_tool(const fleet::Snapshot& snapshot, const std::string& key, Tool tool)
{
    const auto found = snapshot.models.find(key);
    return tool != Tool::none && found != snapshot.models.end() && std::ranges::find(found->second, tool, &fleet::Holder::tool) != found->second.end();
}

/// How near a tool is to being free: 0 now, 1 later, 2 nobody who has it takes requests.
int wait_of(const fleet::Snapshot& snapshot, const std::string& key, Tool tool)
{
    int wait = 2;
    for (const auto& holder : snapshot.models.at(key)) {
        if (holder.tool == tool && snapshot.nodes[holder.node].takes_requests()) {
            wait = std::min(wait, holder.in_flight < holder.slots ? 0 : 1);
        }
    }
    return wait;
}

std::string_view way_to(Tool tool)
{
    return tool == Tool::image ? "makes images: ask POST /api/generate-image or /v1/images/generations"
                               : "writes speech down: ask POST /api/transcribe or /v1/audio/transcriptions";
}

} // namespace

/// A recording for whoever can write it down: the tool that is free is meant.
std::optional<Problem> Exchange::take_any_tool(Seen& seen, const fleet::Snapshot& snapshot)
{
    if (!route_.tools_only || !route_.multipart || !seen.name.empty()) {
        return std::nullopt;
    }
    const std::string* best = nullptr;
    int soonest = 3;
    for (const auto& [key, holders] : snapshot.models) {
        if (has_tool(snapshot, key, route_.tool) && is_seen(snapshot, key) && wait_of(snapshot, key, route_.tool) < soonest) {
            best = &key;
            soonest = wait_of(snapshot, key, route_.tool);
        }
    }
    if (best == nullptr) {
        return Problem{404, "model_not_found", "no node has a tool for it: docs/MEDIA.md of herd tells how one is set up"};
    }
    seen.name = as_listed(snapshot, *best, *best);
    one_model_ = true; // none is named, and no node has two
    return std::nullopt;
}

/// A tool does one thing, and what only tools do no model of Ollama's does.
std::optional<Problem> Exchange::not_for_tool(const fleet::Snapshot& snapshot)
{
    if (snapshot.tools.empty() && !route_.tools_only) {
        return std::nullopt;
    }
    if (route_.handling == Handling::pull || route_.handling == Handling::create) {
        return std::nullopt; // a model of that name
    }
    const auto does_it = [&](const std::string& key) { // or may: a model that is not here yet
        return has_tool(snapshot, key, route_.tool) || (!route_.tools_only && !snapshot.tools.contains(key));
    };
    for (auto* list : {&peek_.fallback_models, &wishes_.fallback_models}) {
        std::erase_if(*list, [&](const std::string& name) { return !does_it(fleet::ModelName::parse(name).key); });
    }
    if (does_it(model_.key)) {
        return std::nullopt;
    }
    if (const auto tool = snapshot.tools.find(model_.key); tool != snapshot.tools.end()) {
        return bad_request("'" + model_.text + "' is a tool beside a node and " + std::string(way_to(tool->second)));
    }
    return snapshot.models.contains(model_.key) ? std::optional(no_such_tool(snapshot)) : std::nullopt;
}

/// This client may know of the tool of that name.
bool Exchange::is_seen(const fleet::Snapshot& snapshot, const std::string& key) const
{
    const auto seen = seen_by_caller();
    return (!seen || seen(key)) && std::ranges::any_of(snapshot.models.at(key), [&](const fleet::Holder& holder) {
        const auto& node = snapshot.nodes[holder.node];
        return holder.tool == route_.tool && (members() == nullptr || members()->admits(node.id, node.name, node.labels));
    });
}

/// "a, b": those for this route.
std::string Exchange::tools_there(const fleet::Snapshot& snapshot) const
{
    std::string names;
    for (const auto& [key, holders] : snapshot.models) {
        if (has_tool(snapshot, key, route_.tool) && is_seen(snapshot, key)) {
            names.append(names.empty() ? "" : ", ").append(short_name(as_listed(snapshot, key, key)));
        }
    }
    return names.empty() ? "none" : names;
}

Problem Exchange::no_such_tool(const fleet::Snapshot& snapshot) const
{
    const std::string kind = route_.tool == Tool::image ? "image model '" : "speech model '";
    return {404, "model_not_found", kind + model_.text + "' not found; available: " + tools_there(snapshot)};
}

} // namespace herd::proxy
