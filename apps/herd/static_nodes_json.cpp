// A named node as JSON: what the admin API takes, and what the state file keeps of it.
#include "base/text.hpp"
#include "config/values.hpp"
#include "herd/node_proxy.hpp"
#include "herd/node_rows.hpp"
#include "herd/policy/policy_json.hpp"
#include "herd/static_nodes.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::json;

constexpr std::int64_t slots_max = 65536;

std::unexpected<base::Error> refuse(std::string why) { return base::fail(base::Errc::bad_config, std::move(why)); }

const std::vector<std::string>& known_fields()
{
    static const std::vector<std::string> known{"url",    "name",    "kind",  "api",         "labels", "slots",
                                                "weight", "bearer", "headers", "query", "health_path", "tls",
                                                "health_method", "down_after", "up_after", "proxy"};
    return known;
}

/// A name that is given now is as [[node]] and herd-node take it; one that was kept from before stays as it is.
base::Result<void> check_new_name(const Json& json)
{
    const auto name = json.find("name");
    if (name == json.end() || !name->is_string() || name->get_ref<const std::string&>().empty()) {
        return {}; // what is no string is told by parse_static_node()
    }
    const auto fit = config::parse_name(name->get_ref<const std::string&>());
    return fit ? base::Result<void>{} : base::Result<void>{refuse("name: " + fit.error().context)};
}

base::Result<void> check_names(const Json& json, const std::vector<std::string>& known, const std::string& section)
{
    for (const auto& [key, value] : json.items()) {
        if (std::ranges::find(known, key) == known.end()) {
            const std::string near = base::nearest(key, known);
            return refuse("unknown field \"" + section + key + '"' + (near.empty() ? "" : "; did you mean \"" + section + near + "\"?"));
        }
    }
    return {};
}

base::Result<void> take_text(const Json& json, const std::string& key, const std::string& section, std::string& into)
{
    if (const auto found = json.find(key); found != json.end()) {
        if (!found->is_string()) {
            return refuse(section + key + ": must be a string");
        }
        into = found->get<std::string>();
    }
    return {};
}

/// {"name":"value"} as "name=value".
base::Result<void> take_pairs(const Json& json, const std::string& key, std::vector<std::string>& into)
{
    const auto found = json.find(key);
    if (found == json.end()) {
        return {};
    }
    if (key == "query" && found->is_string()) { // as it stands in a URL
        for (const std::string_view pair : base::split_list(found->get_ref<const std::string&>(), '&')) {
            const auto decoded = base::percent_decoded(pair.substr(pair.find('=') + 1));
            if (pair.find('=') == pair.npos || !decoded) {
                return refuse("query: expected name=value&name=value, or an object of strings");
            }
            into.push_back(std::string{pair.substr(0, pair.find('=') + 1)} + *decoded);
        }
        return {};
    }
    if (!found->is_object() || !std::ranges::all_of(*found, [](const Json& value) { return value.is_string(); })) {
        return refuse(key + ": must be an object of strings");
    }
    for (const auto& [name, value] : found->items()) {
        if (name.find('=') != std::string::npos) {
            return refuse(key + ": a name must not hold '='");
        }
        into.push_back(name + "=" + value.get<std::string>());
    }
    return {};
}

template <class E>
base::Result<void> take_word(const Json& json, const std::string& key, std::initializer_list<std::pair<const char*, E>> words, E& into)
{
    const auto found = json.find(key);
    if (found == json.end()) {
        return {};
    }
    std::string expected;
    for (const auto& [word, value] : words) {
        if (found->is_string() && found->get<std::string>() == word) {
            into = value;
            return {};
        }
        expected += (expected.empty() ? "" : " or ") + std::string{word};
    }
    return refuse(key + ": must be " + expected);
}

base::Result<void> take_numbers(const Json& json, ConfiguredNode& node)
{
    if (const auto found = json.find("slots"); found != json.end()) {
        if (!found->is_number_integer() || found->get<std::int64_t>() < 1 || found->get<std::int64_t>() > slots_max) {
            return refuse("slots: must be a whole number between 1 and 65536");
        }
        node.slots = found->get<std::uint32_t>();
    }
    for (const auto& [key, into] : {std::pair{"down_after", &node.down_after}, std::pair{"up_after", &node.up_after}}) {
        if (const auto found = json.find(key); found != json.end()) {
            if (!found->is_number_integer() || found->get<std::int64_t>() < 1 || found->get<std::int64_t>() > 100) {
                return refuse(std::string{key} + ": must be a whole number between 1 and 100");
            }
            *into = found->get<std::uint32_t>();
        }
    }
    if (const auto found = json.find("weight"); found != json.end()) {
        if (!found->is_number() || found->get<double>() < 0.01 || found->get<double>() > 100) {
            return refuse("weight: must be a number from 0.01 to 100");
        }
        node.weight = found->get<double>();
    }
    return {};
}

base::Result<void> take_tls(const Json& json, ConfiguredNode& node)
{
    const auto found = json.find("tls");
    if (found == json.end()) {
        return {};
    }
    if (!found->is_object()) {
        return refuse("tls: must be an object");
    }
    if (auto names = check_names(*found, {"verify", "ca_file", "pin"}, "tls."); !names) {
        return names;
    }
    if (const auto verify = found->find("verify"); verify != found->end()) {
        if (!verify->is_boolean()) {
            return refuse("tls.verify: must be true or false");
        }
        node.tls_verify = verify->get<bool>();
    }
    if (auto ca = take_text(*found, "ca_file", "tls.", node.tls_ca_file); !ca) {
        return ca;
    }
    return take_text(*found, "pin", "tls.", node.tls_pin);
}

base::Result<void> take_labels(const Json& json, ConfiguredNode& node)
{
    if (const auto found = json.find("labels"); found != json.end()) {
        const bool texts = found->is_array() && std::ranges::all_of(*found, [](const Json& label) { return label.is_string(); });
        if (!texts) {
            return refuse("labels: must be an array of strings");
        }
        node.labels = found->get<std::vector<std::string>>();
    }
    return {};
}

constexpr std::string_view kept = "***";
/// Beside allow_… and pinned_….
constexpr std::array<std::string_view, 5> settings_of_new{"active", "max_parallel", "queue_limit", "tier", "models_allow"};
constexpr const char* needs_object = "the body must be a JSON object such as {\"url\":\"http://10.0.0.7:11434\"}";

/// What a body may say of how a node is reached; its labels and weight are settings.
bool is_of_origin(std::string_view key)
{
    static constexpr std::array<std::string_view, 16> keys{"proxy", "health_method", "down_after", "up_after", "url",         "name", "kind",  "api",        "slots",      "bearer",
                                                           "bearer_env", "bearer_file", "headers", "query", "health_path", "tls"};
    return std::ranges::find(keys, key) != keys.end();
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parsed(std::string_view text) { return nested_too_deeply(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false); }

/// Puts what was there where `value` says "***".
base::Result<void> keep_secrets(const std::string& key, Json& value, const Json& before)
{
    const auto keep = [&](const std::string& field, Json& text, const Json* old) -> base::Result<void> {
        if (text.is_string() && text.get_ref<const std::string&>() == kept) {
            if (old == nullptr) {
                return refuse(field + ": there is none that \"***\" could keep");
            }
            text = *old;
        }
        return {};
    };
    if (key == "bearer") {
        return keep(key, value, before.at(key) == "" ? nullptr : &before.at(key));
    }
    if (key == "proxy" && value.is_string() && value.get_ref<const std::string&>() == masked_proxy(before.value(key, ""))) {
        value = before.value(key, "");
    }
    if ((key == "headers" || key == "query") && value.is_object()) {
        for (auto& [name, text] : value.items()) {
            const auto old = before.at(key).find(name);
            if (auto done = keep(key + "." + name, text, old == before.at(key).end() ? nullptr : &*old); !done) {
                return done;
            }
        }
    }
    return {};
}

} // namespace

base::Result<NodeBody> split_node_body(std::string_view body)
{
    const auto json = parsed(body);
    if (!json.is_object()) {
        return refuse("the body must be a JSON object");
    }
    Json origin = Json::object();
    Json settings = Json::object();
    for (const auto& [key, value] : json.items()) {
        (is_of_origin(key) ? origin : settings)[key] = value;
    }
    return NodeBody{origin.empty() ? std::string{} : dumped(origin), dumped(settings)};
}

base::Result<NodeBody> split_new_node(std::string_view body)
{
    const auto json = parsed(body);
    if (!json.is_object()) {
        return refuse(needs_object);
    }
    Json origin = Json::object();
    Json settings = Json::object();
    for (const auto& [key, value] : json.items()) {
        if (key == "created" || key == "updated") {
            continue; // told, not set
        }
        const bool set = std::ranges::find(settings_of_new, key) != settings_of_new.end() || key.starts_with("allow_") || key.starts_with("pinned_");
        (set ? settings : origin)[key] = value;
    }
    if (auto fit = check_new_name(origin); !fit) {
        return std::unexpected(std::move(fit.error()));
    }
    return NodeBody{dumped(origin), dumped(settings)};
}

std::string first_field(std::string_view object)
{
    const auto json = parsed(object);
    return json.is_object() && !json.empty() ? json.begin().key() : std::string{};
}

base::Result<ConfiguredNode> changed_static_node(const ConfiguredNode& before, std::string_view origin, bool replace)
{
    const Json old = Json::parse(static_node_json(before));
    auto changes = parsed(origin);
    if (!changes.is_object()) {
        return refuse("the body must be a JSON object");
    }
    if (auto fit = check_new_name(changes); !fit) {
        return std::unexpected(std::move(fit.error()));
    }
    Json after = old;
    for (const auto& [key, value] : old.items()) {
        if (replace && is_of_origin(key) && key != "url" && key != "name") {
            after.erase(key);
        }
    }
    for (auto& [key, value] : changes.items()) {
        if (value.is_null()) {
            after.erase(key);
            continue;
        }
        if (auto done = keep_secrets(key, value, old); !done) {
            return std::unexpected(std::move(done.error()));
        }
        after[key] = value;
    }
    return parse_static_node(dumped(after));
}

std::string masked_node_json(const ConfiguredNode& node)
{
    auto json = Json::parse(static_node_json(node));
    json.erase("labels");
    json.erase("weight");
    json["bearer"] = node.bearer.empty() && node.bearer_env.empty() && node.bearer_file.empty() ? Json() : Json(kept);
    if (!node.proxy.empty()) {
        json["proxy"] = masked_proxy(node.proxy);
    }
    for (const char* key : {"headers", "query"}) {
        for (auto& [name, value] : json[key].items()) {
            value = kept;
        }
    }
    const auto text = dumped(json);
    return text.substr(1, text.size() - 2);
}

base::Result<ConfiguredNode> parse_static_node(std::string_view text)
{
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return refuse(needs_object);
    }
    for (const char* key : {"bearer_env", "bearer_file"}) {
        if (json.contains(key)) { // or whoever may add a node could have any secret of ours sent to himself
            return refuse(std::string{key} + ": only in the configuration file; here write bearer");
        }
    }
    if (auto names = check_names(json, known_fields(), {}); !names) {
        return std::unexpected(names.error());
    }
    const auto url = json.find("url");
    if (url == json.end() || !url->is_string()) {
        return refuse("url: a string such as \"http://10.0.0.7:11434\" is required");
    }
    ConfiguredNode node;
    for (const auto& [key, target] : {std::pair{"url", &node.url}, std::pair{"name", &node.name}, std::pair{"bearer", &node.bearer},
                                      std::pair{"health_path", &node.health_path}, std::pair{"proxy", &node.proxy}}) {
        if (auto taken = take_text(json, key, {}, *target); !taken) {
            return std::unexpected(taken.error());
        }
    }
    auto complete = parse_node_url(node.url); // as in the file and on the command line: without a scheme it is http
    if (!complete) {
        return refuse("url: " + complete.error().context);
    }
    node.url = std::move(*complete);
    const auto kind = take_word<NodeKind>(json, "kind", {{"static", NodeKind::plain}, {"cloud", NodeKind::cloud}}, node.kind);
    const auto api = take_word<NodeDialect>(json, "api", {{"ollama", NodeDialect::ollama}, {"openai", NodeDialect::openai}}, node.api);
    const auto method = take_word<bool>(json, "health_method", {{"GET", false}, {"HEAD", true}}, node.health_head);
    for (const auto& step : {kind, api, method, take_labels(json, node), take_numbers(json, node), take_pairs(json, "headers", node.headers),
                             take_pairs(json, "query", node.query), take_tls(json, node)}) {
        if (!step) {
            return std::unexpected(step.error());
        }
    }
    return node;
}

std::string static_node_json(const ConfiguredNode& node)
{
    const auto pairs = [](const std::vector<std::string>& from) {
        Json all = Json::object();
        for (const std::string& pair : from) {
            all[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
        }
        return all;
    };
    Json json{{"url", node.url},
              {"name", node.name},
              {"kind", node.kind == NodeKind::cloud ? "cloud" : "static"},
              {"api", node.api == NodeDialect::openai ? "openai" : "ollama"},
              {"labels", node.labels},
              {"weight", node.weight},
              {"bearer", node.bearer},
              {"headers", pairs(node.headers)},
              {"query", pairs(node.query)},
              {"health_path", node.health_path},
              {"tls", {{"verify", node.tls_verify}, {"ca_file", node.tls_ca_file}, {"pin", node.tls_pin}}}};
    if (node.slots > 0) {
        json["slots"] = node.slots;
    }
    const ConfiguredNode usual;
    if (!node.proxy.empty()) {
        json["proxy"] = node.proxy;
    }
    if (node.health_head) {
        json["health_method"] = "HEAD";
    }
    for (const auto& [key, value, otherwise] : {std::tuple{"down_after", node.down_after, usual.down_after}, std::tuple{"up_after", node.up_after, usual.up_after}}) {
        if (value != otherwise) {
            json[key] = value;
        }
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app
