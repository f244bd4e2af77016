#include "proxy/aliases.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "proxy/merged.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace herd::proxy {
namespace {

using fleet::ModelName;

constexpr std::string_view latest = ":latest";
constexpr std::string_view claude = "claude";

/// "gpt-*" → "gpt-"; nothing: it is a name.
std::optional<std::string> beginning_of(std::string_view name)
{
    if (!name.ends_with('*')) {
        return std::nullopt;
    }
    return base::lower(name.substr(0, name.size() - 1));
}

/// Without ":latest", lower case; nothing when it has a tag of its own.
std::optional<std::string> untagged(std::string_view text)
{
    auto name = base::lower(base::trim(text));
    if (name.ends_with(latest)) {
        name.resize(name.size() - latest.size());
    }
    return name.find(':') == name.npos ? std::optional(std::move(name)) : std::nullopt;
}

std::string name_fault(std::string_view name)
{
    const auto beginning = beginning_of(name);
    const bool good = beginning ? !beginning->empty() && ModelName::parse(*beginning + "x").valid : ModelName::parse(name).valid;
    return good ? std::string{}
                : fmt::format("\"{}\" is no name that a model could have, nor the beginning of one with a * behind it", name);
}

/// Where the name ends, through aliases of aliases; nothing: nowhere.
const std::string* end_of(const std::map<std::string, const Alias*>& by_key, const std::string& model)
{
    const std::string* at = &model;
    for (std::size_t steps = 0; steps <= by_key.size(); ++steps) {
        const auto next = by_key.find(ModelName::parse(*at).key);
        if (next == by_key.end()) {
            return at;
        }
        at = &next->second->model;
    }
    return nullptr;
}

/// What a row of /api/tags says of tools; nothing: it does not say what the model can do. Ollama writes without spaces.
std::optional<bool> uses_tools(std::string_view row)
{
    constexpr std::string_view key = "\"capabilities\":[";
    const auto at = row.find(key);
    if (at == row.npos) {
        return std::nullopt;
    }
    const auto list = row.substr(at + key.size());
    return list.substr(0, list.find(']')).find("\"tools\"") != list.npos;
}

/// Only for embedding, as far as a row without capabilities shows it.
bool only_embeds(std::string_view row) { return row.find("bert\"") != row.npos; }

/// POST /v1/messages came with this version.
bool has_messages(const fleet::NodeFacts& facts)
{
    return facts.ollama_version.empty() || !version_less(facts.ollama_version, "0.14");
}

std::map<std::string, const Alias*> by_key_of(const std::vector<Alias>& list)
{
    std::map<std::string, const Alias*> all;
    for (const Alias& one : list) {
        if (!beginning_of(one.name)) {
            all.emplace(ModelName::parse(one.name).key, &one);
        }
    }
    return all;
}

} // namespace

std::string alias_fault(const std::vector<Alias>& list)
{
    std::map<std::string, std::string_view> seen;
    for (const Alias& one : list) {
        if (auto fault = name_fault(one.name); !fault.empty()) {
            return fault;
        }
        if (!ModelName::parse(one.model).valid) {
            return fmt::format("\"{}\" stands for \"{}\", which is no name of a model", one.name, one.model);
        }
        const auto beginning = beginning_of(one.name);
        const auto [other, fresh] = seen.emplace(beginning ? *beginning + "*" : ModelName::parse(one.name).key, one.name);
        if (!fresh) {
            return fmt::format("\"{}\" and \"{}\" are one name", other->second, one.name);
        }
    }
    const auto by_key = by_key_of(list);
    for (const Alias& one : list) {
        if (!beginning_of(one.name) && ModelName::parse(one.name).key == ModelName::parse(one.model).key) {
            return fmt::format("\"{}\" stands for itself", one.name);
        }
        if (end_of(by_key, one.model) == nullptr) {
            return fmt::format("\"{}\" leads round in a circle: it stands for no model", one.name);
        }
    }
    return {};
}

base::Result<std::shared_ptr<const Aliases>> Aliases::compile(AliasConfig config)
{
    if (auto fault = alias_fault(config.list); !fault.empty()) {
        return base::fail(base::Errc::bad_config, "aliases: " + fault);
    }
    if (config.list.empty() && !config.claude_auto) {
        return std::shared_ptr<const Aliases>{};
    }
    auto all = std::make_shared<Aliases>();
    all->claude_auto_ = config.claude_auto;
    const auto by_key = by_key_of(config.list);
    for (const Alias& one : config.list) {
        const std::string& model = *end_of(by_key, one.model);
        all->resolved_.push_back({one.name, model});
        if (auto beginning = beginning_of(one.name)) {
            all->beginnings_.emplace_back(std::move(*beginning), model);
        } else {
            all->exact_.emplace(ModelName::parse(one.name).key, model);
        }
    }
    std::ranges::sort(all->beginnings_, std::ranges::greater{}, [](const auto& each) { return std::pair(each.first.size(), each.first); });
    return std::shared_ptr<const Aliases>(std::move(all));
}

std::optional<std::string> Aliases::stands_for(const Asked& asked, const fleet::Snapshot& snapshot) const
{
    if (const auto known = exact_.find(std::string(asked.key)); known != exact_.end()) {
        return known->second;
    }
    if (beginnings_.empty() && !(claude_auto_ && asked.anthropic)) {
        return std::nullopt;
    }
    const auto name = untagged(asked.text);
    if (!name || snapshot.models.contains(std::string(asked.key))) { // no pattern hides a model that a node has
        return std::nullopt;
    }
    for (const auto& [beginning, model] : beginnings_) {
        if (name->starts_with(beginning)) {
            return model;
        }
    }
    if (claude_auto_ && asked.anthropic && name->starts_with(claude)) {
        if (auto best = best_tool_model(snapshot, asked.members, asked.without); !best.empty()) {
            return best;
        }
    }
    return std::nullopt;
}

std::string best_tool_model(const fleet::Snapshot& snapshot, const fleet::Members* members, const std::vector<base::NodeId>& without)
{
    using Rank = std::tuple<bool, bool, base::Bytes>; // tells that it uses tools, is loaded, its size
    std::optional<Rank> best;
    std::string name;
    for (const fleet::NodeView& node : snapshot.nodes) {
        const bool there = node.takes_requests() && node.facts && !node.address.cloud() && has_messages(*node.facts)
                           && std::ranges::find(without, node.id) == without.end();
        if (!there || (members != nullptr && !members->admits(node.id, node.name, node.labels))) {
            continue;
        }
        for (const fleet::Model& model : node.facts->models) {
            const auto tools = uses_tools(model.row);
            if (!node.allows(model.key) || fleet::tool_of(model.row) != fleet::Tool::none || (tools && !*tools) || (!tools && only_embeds(model.row)) || ModelName::parse(model.name).cloud) {
                continue;
            }
            const auto& loaded = node.facts->loaded;
            const bool hot = std::ranges::find(loaded, model.key, &fleet::LoadedModel::key) != loaded.end();
            const Rank rank{tools.has_value(), hot, model.size};
            if (!best || rank > *best || (rank == *best && model.name < name)) {
                best = rank;
                name = model.name;
            }
        }
    }
    return name;
}

} // namespace herd::proxy
