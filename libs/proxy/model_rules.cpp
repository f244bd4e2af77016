#include "proxy/model_rules.hpp"

#include "fleet/model_name.hpp"
#include "proxy/go_json.hpp"
#include "proxy/pins.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace herd::proxy {
namespace {

constexpr std::array<std::string_view, 4> with_options{"/api/chat", "/api/generate", "/api/embed", "/api/embeddings"};

/// As Ollama reads a number: seconds, and for ever when it is negative.
std::string keep_alive_number(base::Duration value)
{
    return value == for_ever ? "-1" : std::to_string(std::chrono::ceil<std::chrono::seconds>(value).count());
}

} // namespace

bool takes_options(const Route& route) { return std::ranges::find(with_options, route.pattern) != with_options.end(); }

base::Result<std::shared_ptr<const ModelRules>> ModelRules::compile(const ModelRulesConfig& config)
{
    if (config == ModelRulesConfig{}) {
        return std::shared_ptr<const ModelRules>{};
    }
    auto rules = std::make_shared<ModelRules>();
    rules->config_ = config;
    for (const ModelRule& each : config.each) {
        const auto name = fleet::ModelName::parse(each.model);
        if (!name.valid) {
            return base::fail(base::Errc::bad_config, "'" + each.model + "' is no name of a model");
        }
        if (!rules->by_key_.emplace(name.key, each).second) {
            return base::fail(base::Errc::bad_config, "'" + each.model + "' stands there twice: letters and \":latest\" make no difference");
        }
    }
    return rules;
}

const ModelRule* ModelRules::rule_of(std::string_view key) const
{
    const auto found = by_key_.find(std::string(key));
    return found == by_key_.end() ? nullptr : &found->second;
}

std::optional<int> ModelRules::num_ctx(std::string_view key) const
{
    const ModelRule* rule = rule_of(key);
    return rule == nullptr ? std::nullopt : rule->num_ctx;
}

/// Nothing: it stays as the client has it.
std::optional<base::Duration> ModelRules::keep_alive_for(std::string_view key, const BodyPeek& peek) const
{
    if (peek.keep_alive_given) {
        const bool more = config_.keep_alive_max && peek.keep_alive && (*peek.keep_alive < base::Duration{} || *peek.keep_alive > *config_.keep_alive_max);
        return more ? config_.keep_alive_max : std::nullopt;
    }
    const ModelRule* rule = rule_of(key);
    return rule != nullptr && rule->keep_alive ? rule->keep_alive : config_.keep_alive;
}

/// A JSON object to be merged with the body; empty: there is nothing to write.
std::string ModelRules::additions(std::string_view key, const BodyPeek& peek) const
{
    std::string text;
    if (const auto context = num_ctx(key); context && !peek.num_ctx) {
        text.append(R"("options":{"num_ctx":)").append(std::to_string(*context)).append("}");
    }
    if (const auto time = keep_alive_for(key, peek)) {
        text.append(text.empty() ? "" : ",").append(R"("keep_alive":)").append(keep_alive_number(*time));
    }
    return text.empty() ? text : "{" + text + "}";
}

std::optional<std::string> ModelRules::fitted(std::string_view body, const Route& route, std::string_view key, const BodyPeek& peek) const
{
    if (!takes_options(route)) {
        return std::nullopt;
    }
    const auto text = additions(key, peek);
    if (text.empty() || !peek.object || !go_json_fault(body).empty()) {
        return std::nullopt;
    }
    return Pins::compile(text)->merge_into(body); // written here, so it is an object
}

} // namespace herd::proxy
