#include "herd/policy/policy.hpp"

#include "config/backend_url.hpp"
#include "fleet/model_name.hpp"
#include "herd/herd_app.hpp"

#include <algorithm>

namespace herd::app {

namespace {

/// How the fleet knows the node that [[node]] means.
std::string key_of(const ConfiguredNode& node)
{
    if (!node.url.empty() && node.name.empty()) { // then it is called by its host and port
        const auto url = config::parse_backend_url(node.url);
        return url ? url->authority() : node.url;
    }
    return node.id.empty() ? node.name : node.id;
}

template <class List, class One, class Key>
void put(List& list, const One& one, Key key)
{
    const auto at = std::ranges::find_if(list, [&](const One& other) { return key(other) == key(one); });
    if (at != list.end()) {
        *at = one;
    } else {
        list.push_back(one);
    }
}

/// Null: none are.
std::shared_ptr<const std::multimap<std::string, proxy::RequiredAt>> required_models(const std::vector<sync::Requirement>& requirements)
{
    auto all = std::make_shared<std::multimap<std::string, proxy::RequiredAt>>();
    for (const sync::Requirement& each : requirements) {
        const auto nodes = each.nodes.empty() ? std::nullopt : std::optional{each.nodes};
        all->emplace(fleet::ModelName::parse(each.model).key,
                     proxy::RequiredAt{each.frontend.empty() ? "under [[required]]" : "by frontend '" + each.frontend + "'", {nodes, each.labels}});
    }
    return all->empty() ? nullptr : all;
}

} // namespace

base::Result<Policy> compile_policy(const HerdOptions& options, const Managed& managed,
                                    const proxy::ProxyOptions& defaults, const proxy::Frontends* before)
{
    Policy policy;
    policy.frontends = options.frontends;
    for (ConfiguredFrontend& frontend : policy.frontends) {
        frontend.dates = options.file_dates;
    }
    for (const ConfiguredFrontend& frontend : managed.frontends) {
        put(policy.frontends, frontend, [](const ConfiguredFrontend& one) { return one.rules.id; });
        policy.managed.insert(frontend.rules.id);
    }
    for (const ConfiguredNode& node : options.nodes) {
        const bool labelled = node.url.empty() && !node.labels.empty(); // those with a url tell theirs themselves
        auto settings = node.settings;
        settings.weight = node.url.empty() ? node.weight : 1; // else it counts in the node's own cost
        if (!settings.plain() || labelled) {
            policy.nodes.push_back({key_of(node), labelled ? node.labels : std::vector<std::string>{}, std::move(settings), options.file_dates});
        }
    }
    for (const ManagedNode& node : managed.nodes) {
        put(policy.nodes, node, [](const ManagedNode& one) { return one.node; });
        policy.managed.insert(node.node);
    }
    proxy::Frontends::Input input;
    for (const ConfiguredFrontend& frontend : policy.frontends) {
        input.frontends.push_back(frontend.config());
    }
    for (const ManagedNode& node : policy.nodes) {
        input.node_pins.push_back({node.node, node.settings.pins});
        auto settings = node.settings.node_settings();
        settings.labels = node.labels;
        policy.settings.emplace_back(node.node, std::move(settings));
    }
    input.use = managed.use;
    policy.pins = options.pins;
    policy.pins.insert(policy.pins.end(), managed.pins.begin(), managed.pins.end());
    auto proxy = defaults;
    if (!policy.pins.empty()) {
        auto pinned = std::make_shared<std::multimap<std::string, std::string>>();
        for (const ConfiguredPin& pin : policy.pins) {
            pinned->emplace(fleet::ModelName::parse(pin.model).key, pin.node);
        }
        proxy.pinned_models = std::move(pinned);
    }
    proxy.required_models = required_models(requirements(options, policy.frontends));
    auto frontends = proxy::Frontends::compile(std::move(input), proxy, before);
    if (!frontends) {
        return std::unexpected(std::move(frontends.error()));
    }
    proxy.frontends = std::move(*frontends);
    policy.proxy = std::make_shared<const proxy::ProxyOptions>(std::move(proxy));
    return policy;
}

} // namespace herd::app
