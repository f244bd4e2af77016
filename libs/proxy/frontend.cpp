#include "proxy/frontend.hpp"

#include "base/text.hpp"
#include "proxy/proxy.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

constexpr std::size_t host_bytes_max = 253;
constexpr std::string_view prefix = "/f/";

std::unexpected<base::Error> refuse(std::string why) { return base::fail(base::Errc::bad_config, std::move(why)); }

/// "Team-A.LAN:11435" → "team-a.lan", in `space`. Empty: too long to be anybody's.
std::string_view host_name(std::string_view host, std::array<char, host_bytes_max + 1>& space)
{
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        host = end == host.npos ? std::string_view{} : host.substr(0, end + 1);
    } else {
        host = host.substr(0, std::min(host.find(':'), host.size()));
    }
    if (host.ends_with('.')) {
        host.remove_suffix(1);
    }
    if (host.size() > space.size()) {
        return {};
    }
    std::ranges::transform(host, space.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return {space.data(), host.size()};
}

base::Result<Pins> compiled(std::string_view key, const std::string& text)
{
    if (text.empty()) {
        return Pins{};
    }
    auto pins = Pins::compile(text);
    if (!pins) {
        return refuse(std::string(key) + ": " + pins.error().context);
    }
    return pins;
}

std::shared_ptr<const fleet::Rules> rules_of(const FrontendConfig& config, const std::string& use)
{
    auto labels = config.node_labels;
    labels.insert(labels.end(), config.labels_required.begin(), config.labels_required.end());
    auto rules = std::make_shared<fleet::Rules>();
    rules->frontend = config.id;
    rules->members = fleet::Members(config.nodes, labels);
    if (!use.empty()) {
        rules->members.narrow_to(use);
    }
    rules->policy = config.policy;
    rules->sticky_ttl = config.sticky ? config.sticky_ttl : base::Duration{};
    return rules;
}

std::shared_ptr<const ProxyOptions> options_of(const FrontendConfig& config, const ProxyOptions& defaults)
{
    ProxyOptions options = defaults;
    options.frontends = nullptr;
    options.max_body = config.max_body.value_or(options.max_body);
    options.retries = static_cast<int>(config.retries.value_or(static_cast<std::uint32_t>(options.retries)));
    if (!config.allow_retries) {
        options.retries = 0;
    }
    options.connect_timeout = config.connect_timeout.value_or(options.connect_timeout);
    options.static_connect_timeout = config.connect_timeout.value_or(options.static_connect_timeout);
    options.first_byte_timeout = config.first_byte_timeout.value_or(options.first_byte_timeout);
    options.idle_timeout = config.idle_timeout.value_or(options.idle_timeout);
    options.total_timeout = config.total_timeout.value_or(options.total_timeout);
    return std::make_shared<const ProxyOptions>(std::move(options));
}

bool pinned_for(const std::string& a, const std::string& b) { return !a.empty() || !b.empty(); }

} // namespace

RequestClass class_of(const Route& route)
{
    switch (route.handling) {
    case Handling::inference:
    case Handling::unknown_post: return route.embedding ? RequestClass::embeddings : RequestClass::completions;
    case Handling::push:
    case Handling::pull:
    case Handling::create:
    case Handling::blob:
    case Handling::copy:
    case Handling::remove:
    case Handling::account: return RequestClass::model_admin;
    default: return RequestClass::other;
    }
}

base::Result<PinSets> PinSets::compile(const PinTexts& texts)
{
    struct Source {
        std::string_view key;
        const std::string& common;
        const std::string& ollama;
        const std::string& openai;
    };
    const std::array sources{
        Source{"pinned_embeddings", texts.embeddings, texts.embeddings_ollama, texts.embeddings_openai},
        Source{"pinned_completions", texts.completions, texts.completions_ollama, texts.completions_openai}};
    PinSets out;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const auto& source = sources[i];
        const std::string key(source.key);
        const auto common = compiled(key, source.common);
        const auto ollama = common ? compiled(key + "_ollama", source.ollama) : common;
        const auto openai = ollama ? compiled(key + "_openai", source.openai) : ollama;
        if (!openai) {
            return std::unexpected(openai.error());
        }
        if (pinned_for(source.common, source.ollama)) {
            out.sets_[i][0] = common->with(*ollama);
        }
        if (pinned_for(source.common, source.openai)) {
            out.sets_[i][1] = common->with(*openai);
        }
    }
    return out;
}

const Pins* PinSets::find(RequestClass kind, const Route& route) const
{
    if (kind != RequestClass::embeddings && kind != RequestClass::completions) {
        return nullptr;
    }
    const auto& set = sets_[kind == RequestClass::completions ? 1 : 0][route.dialect == Dialect::ollama ? 0 : 1];
    return set.empty() ? nullptr : &set;
}

std::string_view PinSets::where_named(std::string_view key) const
{
    for (const auto& [name, sets] : {std::pair{"pinned_embeddings", &sets_[0]}, std::pair{"pinned_completions", &sets_[1]}}) {
        if (std::ranges::any_of(*sets, [key](const Pins& pins) { return pins.names(key); })) {
            return name;
        }
    }
    return {};
}

std::optional<Problem> Frontend::refusal(RequestClass kind) const
{
    const auto name = "frontend '" + config.id + "'";
    if (!config.active) {
        return Problem{503, "unavailable", name + " is switched off"};
    }
    const auto forbidden = [&name](std::string_view what) {
        return Problem{403, "not_allowed", name + " does not allow " + std::string(what)};
    };
    switch (kind) {
    case RequestClass::embeddings:
        return config.allow_embeddings ? std::nullopt : std::optional(forbidden("embeddings"));
    case RequestClass::completions:
        return config.allow_completions ? std::nullopt : std::optional(forbidden("completions"));
    case RequestClass::model_admin:
        return config.allow_model_admin ? std::nullopt : std::optional(forbidden("changes of models"));
    case RequestClass::other: break;
    }
    return std::nullopt;
}

bool fit_for_frontend_id(std::string_view text)
{
    return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    });
}

std::string hostname_fault(std::string_view text)
{
    if (text == "*") {
        return {};
    }
    const auto name = text.starts_with("*.") ? text.substr(2) : text;
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    };
    const bool v6 = text.starts_with('[') && text.ends_with(']');
    if (name.empty() || text.size() > host_bytes_max || (!v6 && !std::ranges::all_of(name, fits)) || name.starts_with('.')) {
        return "a host name such as team-a.lan, *.lan or *, without a port";
    }
    return {};
}

base::Result<void> Frontends::add_hosts(const Frontend& frontend)
{
    for (const auto& host : frontend.config.hostnames) {
        const auto taken = [&](const Frontend* other) -> base::Result<void> {
            return base::fail(base::Errc::conflict, "frontend '" + frontend.config.id + "': hostnames: \"" + host
                                                       + "\" belongs to frontend '" + other->config.id + "' already");
        };
        if (host == "*") {
            if (catch_all_ != nullptr) {
                return taken(catch_all_);
            }
            catch_all_ = &frontend;
        } else if (host.starts_with("*.")) {
            const auto suffix = base::lower(host.substr(1));
            const auto at = std::ranges::find(by_suffix_, suffix, [](const auto& one) { return one.first; });
            if (at != by_suffix_.end()) {
                return taken(at->second);
            }
            by_suffix_.emplace_back(suffix, &frontend);
        } else if (const auto [at, fresh] = by_host_.emplace(base::lower(host), &frontend); !fresh) {
            return taken(at->second);
        }
    }
    return {};
}

base::Result<void> Frontends::add(FrontendConfig config, const Input& input, const ProxyOptions& defaults,
                                  const Frontends* before)
{
    const auto same = [&config](const auto& other) {
        return other->config.id == config.id || (!config.name.empty() && other->config.name == config.name);
    };
    if (std::ranges::any_of(all_, same)) {
        return base::fail(base::Errc::conflict, "frontend '" + config.id + "': another one has that id or name already");
    }
    auto pins = PinSets::compile(config.pins);
    if (!pins) {
        return refuse("frontend '" + config.id + "': " + pins.error().context);
    }
    auto frontend = std::make_unique<Frontend>();
    if (const auto use = input.use.find(config.id); use != input.use.end()) {
        frontend->use = use->second;
    }
    frontend->rules = rules_of(config, frontend->use);
    frontend->labels = fleet::normalized_labels(config.labels_required, {});
    frontend->pins = std::move(*pins);
    frontend->options = options_of(config, defaults);
    const auto* was = before == nullptr ? nullptr : before->find(config.id);
    frontend->load = was != nullptr ? was->load : std::make_shared<FrontendLoad>();
    frontend->built_in = input.frontends.empty();
    frontend->config = std::move(config);
    prefixes_ = prefixes_ || frontend->config.path_prefix;
    const auto& added = *all_.emplace_back(std::move(frontend));
    return add_hosts(added);
}

base::Result<std::shared_ptr<const Frontends>> Frontends::compile(Input input, const ProxyOptions& defaults,
                                                                  const Frontends* before)
{
    const bool uses_default = input.frontends.empty() && input.use.contains("default");
    const bool node_pins = std::ranges::any_of(input.node_pins, [](const auto& one) { return !one.pins.empty(); });
    if (input.frontends.empty() && !uses_default && !node_pins) {
        return nullptr;
    }
    auto out = std::make_shared<Frontends>();
    for (const auto& config : input.frontends) {
        if (auto added = out->add(config, input, defaults, before); !added) {
            return std::unexpected(added.error());
        }
    }
    if (input.frontends.empty()) {
        FrontendConfig all{.id = "default", .name = "default", .hostnames = {"*"}};
        all.allow_model_admin = all.allow_cloud = true;
        if (auto added = out->add(std::move(all), input, defaults, before); !added) {
            return std::unexpected(added.error());
        }
    }
    std::ranges::sort(out->by_suffix_, std::ranges::greater{}, [](const auto& one) { return one.first.size(); });
    for (const auto& node : input.node_pins) {
        if (node.pins.empty() && !base::NodeId::parse(node.node)) {
            continue; // with an id it hides what stands under the name
        }
        auto pins = PinSets::compile(node.pins);
        if (!pins) {
            return refuse("node '" + node.node + "': " + pins.error().context);
        }
        if (const auto where = pins->where_named("model"); !where.empty()) {
            return refuse("node '" + node.node + "': " + std::string(where) + ": the model is pinned by a frontend, not by a node");
        }
        if (const auto id = base::NodeId::parse(node.node)) {
            out->pins_by_id_.emplace_back(*id, std::move(*pins));
        } else {
            out->pins_by_name_.emplace_back(base::lower(node.node), std::move(*pins));
        }
    }
    return out;
}

const Frontend* Frontends::of_host(std::string_view host) const
{
    std::array<char, host_bytes_max + 1> space{};
    const auto name = host_name(host, space);
    if (const auto at = by_host_.find(name); at != by_host_.end()) {
        return at->second;
    }
    for (const auto& [suffix, frontend] : by_suffix_) {
        if (name.size() > suffix.size() && name.ends_with(suffix)) {
            return frontend;
        }
    }
    return catch_all_;
}

const Frontend* Frontends::of_path(std::string_view path, std::string_view& rest) const
{
    if (!prefixes_ || !path.starts_with(prefix)) {
        return nullptr;
    }
    path.remove_prefix(prefix.size());
    const auto slash = path.find('/');
    const auto id = path.substr(0, slash);
    for (const auto& frontend : all_) {
        if (frontend->config.path_prefix && frontend->config.id == id) {
            rest = slash == path.npos ? std::string_view("/") : path.substr(slash);
            return frontend.get();
        }
    }
    return nullptr;
}

const Frontend* Frontends::find(std::string_view id_or_name) const
{
    for (const auto& frontend : all_) {
        if (frontend->config.id == id_or_name) {
            return frontend.get();
        }
    }
    for (const auto& frontend : all_) {
        if (frontend->config.name == id_or_name) {
            return frontend.get();
        }
    }
    return nullptr;
}

bool Frontends::pins_some_node(RequestClass kind, const Route& route) const
{
    const auto some = [&](const auto& one) { return one.second.find(kind, route) != nullptr; };
    return std::ranges::any_of(pins_by_id_, some) || std::ranges::any_of(pins_by_name_, some);
}

const PinSets* Frontends::pins_of(const base::NodeId& id, std::string_view name) const
{
    for (const auto& [own, pins] : pins_by_id_) {
        if (own == id) {
            return &pins;
        }
    }
    for (const auto& [own, pins] : pins_by_name_) {
        if (base::iequals(own, name)) {
            return &pins;
        }
    }
    return nullptr;
}

} // namespace herd::proxy
