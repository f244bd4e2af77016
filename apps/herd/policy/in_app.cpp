// Frontends and settings of nodes, as the program's parts ask for them.
#include "fleet/called.hpp"
#include "fleet/model_name.hpp"
#include "herd/herd_app.hpp"
#include "herd/on_loop.hpp"
#include "proxy/model_rules.hpp"

namespace herd::app {

namespace {

/// The tokens of context that [models] has herd load a model with; 0: it says nothing.
class Contexts {
public:
    explicit Contexts(const HerdOptions& options)
    {
        if (auto rules = proxy::ModelRules::compile(options.models.rules)) { // checked when they were read
            rules_ = std::move(*rules);
        }
    }
    [[nodiscard]] int of(std::string_view key) const { return rules_ == nullptr ? 0 : rules_->num_ctx(key).value_or(0); }

private:
    std::shared_ptr<const proxy::ModelRules> rules_{};
};

} // namespace

void HerdApp::build_policy(Managed managed)
{
    auto publish = [this](const std::shared_ptr<const proxy::ProxyOptions>& options, std::function<void()> done) {
        if (auto wanted = requirements(options_, policy_->in_force()); wanted != sync_->plan().required()) {
            sync_->require(std::move(wanted));
        }
        want_pins();
        publish_proxy(options, std::move(done));
    };
    policy_ = std::make_unique<PolicyKeeper>(main_loop(), *fleet_, options_, std::move(managed), installation_.id,
                                             std::move(publish));
    policy_->ask_pinned_at([this](const fleet::NodeId& node) {
        std::vector<std::string> keys;
        for (const pins::Entry& entry : pins_->plan().entries()) {
            if (entry.node == node && !entry.node_name.empty()) {
                keys.push_back(entry.key);
            }
        }
        return keys;
    });
    controls_->pins = [this](net::Loop& asker) { return pins_from(asker); };
    controls_->change_policy = [this](net::Loop& asker, PolicyChange change) { return change_policy_from(asker, std::move(change)); };
    controls_->check_key = [this](net::Loop& asker, fleet::NodeId id) {
        return answer_from<std::string>(asker, main_loop(), [this, id](auto done) { scout_->check_key(id, std::move(done)); });
    };
    controls_->policy = [this](net::Loop& asker, admin::PolicyQuestion question) { return policy_from(asker, std::move(question)); };
}

void HerdApp::publish_proxy(const std::shared_ptr<const proxy::ProxyOptions>& options, std::function<void()> done)
{
    const auto left = std::make_shared<std::size_t>(relays_.size());
    const auto whole = std::make_shared<std::function<void()>>(std::move(done));
    const auto gate = gate_rules(options_);
    for (const auto& relay : relays_) {
        relay->loop().dispatch([this, &unit = *relay, options, gate, left, whole] {
            unit.set_options(options, gate);
            main_loop().dispatch([left, whole] {
                if (--*left == 0) {
                    (*whole)();
                }
            });
        });
    }
}

void HerdApp::want_pins()
{
    const Contexts contexts(options_);
    std::vector<pins::Pin> wanted;
    for (const ConfiguredPin& pin : policy_->pins()) {
        wanted.push_back({pin.model, pin.node, pin.replicas, contexts.of(fleet::ModelName::parse(pin.model).key)});
    }
    pins_->want(std::move(wanted));
    preload_popular();
}

/// What is asked for most comes first.
void HerdApp::preload_popular()
{
    std::vector<std::pair<std::string, health::History::Popular>> sorted;
    if (options_.models.preload_popular) {
        sorted.assign(popular_.begin(), popular_.end());
    }
    std::ranges::sort(sorted, {}, [](const auto& each) { return std::pair(-each.second.priority, each.first); });
    const Contexts contexts(options_);
    std::vector<pins::Popular> wanted;
    for (const auto& [key, each] : sorted) {
        wanted.push_back({.key = key, .lately = each.last_hour > 0, .num_ctx = contexts.of(key)});
    }
    pins_->preload(std::move(wanted));
}

pins::Standing HerdApp::pins_now()
{
    const auto snapshot = fleet_->publish();
    pins::Standing now{.entries = pins_->plan().entries(), .now = main_loop().now(), .wall = clock_.wall()};
    const auto names = fleet::distinct_names(*snapshot);
    const auto name_of = [&](const fleet::NodeView& node) { return names[static_cast<std::size_t>(&node - snapshot->nodes.data())]; };
    for (pins::Entry& entry : now.entries) {
        const auto* node = entry.node_name.empty() ? nullptr : snapshot->find(entry.node);
        entry.node_name = node == nullptr ? entry.node_name : name_of(*node);
    }
    const auto& all = policy_->pins();
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto* node = all[i].node.empty() ? nullptr : snapshot->find(std::string_view(all[i].node));
        now.pins.push_back({.pin = all[i],
                            .node = node == nullptr ? std::string{} : name_of(*node),
                            .node_id = node == nullptr ? std::string{} : node->id.text(),
                            .managed = i + policy_->managed_pins() >= all.size()});
    }
    for (const fleet::NodeView* node : snapshot->routable()) {
        now.places += admin::hot_model_cap(*node->facts);
    }
    return now;
}

net::Task<pins::Standing> HerdApp::pins_from(net::Loop& asker)
{
    auto work = [this] { return pins_now(); };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

net::Task<PolicyAnswer> HerdApp::change_policy_from(net::Loop& asker, PolicyChange change)
{
    return answer_from<PolicyAnswer>(asker, main_loop(), [this, change = std::move(change)](auto done) mutable {
        policy_->change(std::move(change), std::move(done));
    });
}

net::Task<std::optional<admin::NamedNode>> HerdApp::named_node_from(net::Loop& asker, std::string id_or_name)
{
    auto work = [this, id_or_name = std::move(id_or_name)]() -> std::optional<admin::NamedNode> {
        const auto snapshot = fleet_->publish();
        const auto* view = snapshot->find(id_or_name);
        const auto* named = view == nullptr ? nullptr : scout_->named(view->id);
        if (named == nullptr || named->ollana) { // an Ollana server is reached as it says
            return std::nullopt;
        }
        return admin::NamedNode{named->node.id, named->node.settings, named->configured, named->revision, named->node.dates};
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

net::Task<PolicyAnswer> HerdApp::policy_from(net::Loop& asker, admin::PolicyQuestion question)
{
    auto work = [this, question = std::move(question)] {
        switch (question.what) {
        case admin::PolicyQuestion::What::frontends: return policy_->frontends();
        case admin::PolicyQuestion::What::frontend: return policy_->frontend(question.target);
        case admin::PolicyQuestion::What::node: break;
        }
        return policy_->node_settings(question.target);
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

} // namespace herd::app
