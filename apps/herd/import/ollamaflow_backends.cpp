#include "herd/import/ollamaflow_backends.hpp"

#include "base/ids.hpp"
#include "base/text.hpp"
#include "config/values.hpp"
#include "herd/import/one_server.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::size_t name_bytes_max = 63;
constexpr std::size_t pairs_max = 32;
constexpr std::uint64_t health_most = 100;
constexpr std::uint64_t requests_most = 65536;

bool node_takes(std::string_view key, const Json& value) { return fault_of("[[node]]\nurl = \"http://127.0.0.1:1\"\n" + toml_line(key, value)).empty(); }

/// A node called like a path, like all nodes or like an id would be taken for that.
void name_it(Object& backend, Names& names)
{
    std::string wanted = backend.id;
    std::ranges::replace_if(wanted, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '-');
    if (wanted.empty() || wanted == "*" || base::iequals(wanted, "health") || base::NodeId::parse(wanted)) {
        wanted = wanted.empty() ? "backend" : "backend-" + wanted;
    }
    const std::string name = names.free(std::move(wanted), name_bytes_max);
    if (name != backend.id) {
        backend.note("Identifier", fmt::format("its node is called {}", shown(name)));
    }
    if (const std::string theirs = backend.text("Name"); !theirs.empty() && theirs != name) {
        backend.note(fmt::format("Name {}", shown(theirs)), "left out, a node has one name");
    }
    backend.fields["Identifier"] = name;
    backend.fields.erase("Name");
}

void mend_numbers(Object& backend)
{
    backend.clamp("UnhealthyThreshold", 1, health_most);
    backend.clamp("HealthyThreshold", 1, health_most);
    backend.clamp("MaxParallelRequests", 1, requests_most);
    const Json parallel = backend.get("MaxParallelRequests");
    const std::uint64_t running = parallel.is_number_unsigned() ? parallel.get<std::uint64_t>() : 0;
    backend.clamp("RateLimitRequestsThreshold", 1, running + requests_most);
    const Json most = backend.get("RateLimitRequestsThreshold");
    if (most.is_number_unsigned() && most.get<std::uint64_t>() < running) {
        backend.fields["MaxParallelRequests"] = most;
        backend.note(fmt::format("MaxParallelRequests {}", running), fmt::format("{} is written, more were refused by RateLimitRequestsThreshold", most.dump()));
    }
}

void mend_health(Object& backend)
{
    if (const std::string method = backend.text("HealthCheckMethod"); !method.empty()) {
        const bool head = base::iequals(method, "HEAD");
        if (!head && !base::iequals(method, "GET")) {
            backend.note(fmt::format("HealthCheckMethod {}", shown(method)), "left out, herd asks with GET or HEAD: it is asked with GET");
        }
        head ? void(backend.fields["HealthCheckMethod"] = "HEAD") : void(backend.fields.erase("HealthCheckMethod"));
    }
    const std::string path = backend.text("HealthCheckUrl");
    if (!path.empty() && !path.starts_with('/') && path.find("://") == path.npos) {
        backend.fields["HealthCheckUrl"] = "/" + path;
        backend.note(fmt::format("HealthCheckUrl {}", shown(path)), "written with a / before it");
    }
    const std::string api = backend.text("ApiFormat");
    if (base::iequals(api, "openai") || base::iequals(api, "ollama")) {
        backend.fields["ApiFormat"] = base::iequals(api, "openai") ? "OpenAI" : "Ollama";
    }
}

void mend_labels(Object& backend)
{
    const Json labels = backend.fields.value("Labels", Json::array());
    Json kept = Json::array();
    for (const Json& each : labels) {
        const std::string theirs = each.is_string() ? each.get<std::string>() : each.dump();
        std::string label = theirs;
        std::ranges::replace_if(label, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == ','; }, '-');
        if (!config::parse_label(label)) {
            backend.note(fmt::format("Labels {}", shown(theirs)), "left out, a label of herd has 1 to 63 bytes");
            continue;
        }
        if (label != theirs) {
            backend.note(fmt::format("Labels {}", shown(theirs)), fmt::format("labels of herd have neither space nor comma: clients must ask for {}", shown(label)));
        }
        kept.push_back(label);
    }
    backend.fields["Labels"] = std::move(kept);
}

/// Which model is asked for is decided before a node is chosen.
void mend_pins(Object& backend)
{
    for (Json* fields : {&backend.fields, &backend.ours}) {
        for (auto& [key, pins] : fields->items()) {
            if (!base::lower(key).starts_with("pinned") || !pins.is_object()) {
                continue;
            }
            Json kept = Json::object();
            for (const auto& [name, value] : pins.items()) {
                if (!base::iequals(name, "model")) {
                    kept[name] = value;
                    continue;
                }
                backend.note(fmt::format("{} {} {}", admin::ollamaflow::field_of(backend.kind, key), name, shown(value.is_string() ? value.get<std::string>() : value.dump())),
                             "left out, a node pins no model here: pin it in a [[frontend]] that has this node alone");
            }
            pins = std::move(kept);
        }
    }
}

/// "?a=1&b=%20x&flag" as what it means: herd encodes it again.
void mend_query(Object& backend)
{
    Json kept = Json::array();
    std::string text = backend.text("Querystring");
    text.erase(0, text.starts_with('?') ? 1 : 0);
    for (const std::string_view piece : base::split_list(text, '&')) {
        std::string pair = base::percent_decoded(piece, true).value_or(std::string{piece});
        const bool bare = piece.find('=') == piece.npos;
        pair += bare ? "=" : "";
        if (kept.size() == pairs_max || !base::is_utf8(pair) || !node_takes("query", Json::array({pair}))) {
            backend.note("Querystring", kept.size() == pairs_max ? "a parameter is left out, herd takes 32" : "a parameter is left out, herd cannot write it as NAME=VALUE");
            continue;
        }
        if (bare) {
            backend.note("Querystring", "a parameter without a value is written with an empty one: NAME=");
        }
        kept.push_back(std::move(pair));
    }
    backend.fields.erase("Querystring");
    if (!kept.empty()) {
        backend.fields["Querystring"] = std::move(kept);
    }
}

void take_authorization(Object& backend, const std::string& value)
{
    constexpr std::string_view bearer = "bearer ";
    const bool is_bearer = value.size() > bearer.size() && base::iequals(std::string_view(value).substr(0, bearer.size()), bearer);
    if (is_bearer && backend.text("BearerToken").empty()) {
        backend.fields["BearerToken"] = std::string{base::trim(std::string_view(value).substr(bearer.size()))};
        backend.note("Headers Authorization", "written as bearer");
    } else {
        backend.note("Headers Authorization", is_bearer ? "left out, BearerToken says who asks" : "left out, herd shows a node no other than a bearer");
    }
}

void mend_headers(Object& backend)
{
    const Json headers = backend.fields.value("Headers", Json::object());
    Json kept = Json::object();
    for (const auto& [name, value] : headers.items()) {
        const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
        const bool plain = !value.is_null() && !value.is_structured();
        if (plain && base::iequals(name, "authorization")) {
            take_authorization(backend, text);
        } else if (!plain || kept.size() == pairs_max || !node_takes("headers", Json{{name, text}})) {
            backend.note(fmt::format("Headers {}", shown(name)), kept.size() == pairs_max ? "left out, herd takes 32" : "left out, herd sets no such field");
        } else {
            kept[name] = text;
        }
    }
    backend.fields["Headers"] = std::move(kept);
    if (const std::string token = backend.text("BearerToken"); token != base::trim(token)) {
        backend.fields["BearerToken"] = std::string{base::trim(token)};
    }
}

} // namespace

Nodes nodes_of(const std::vector<Row>& backends)
{
    std::vector<Object> servers;
    std::map<std::string, std::size_t> at;    // address → which of them
    std::map<std::string, std::size_t> which; // Identifier → the same
    for (const Row& row : backends) {
        Object backend = object_of(admin::ollamaflow::Kind::backend, row);
        const auto [place, fresh] = at.emplace(address_of(backend), servers.size());
        which.emplace(backend.id, place->second);
        fresh ? void(servers.push_back(std::move(backend))) : add_to(servers[place->second], backend);
    }
    Nodes out;
    Names names;
    std::map<std::size_t, std::string> standing;
    for (std::size_t i = 0; i < servers.size(); ++i) {
        Object& backend = servers[i];
        name_it(backend, names);
        for (const auto mend : {mend_numbers, mend_health, mend_labels, mend_pins, mend_query, mend_headers}) {
            mend(backend);
        }
        const auto draft = draft_of(backend, "[[node]]", "url");
        Draft::Text text = draft ? draft->text() : Draft::Text{remark(fmt::format("{} is left out: {}", backend.called(), draft.error().context)), false};
        out.sections.push_back(std::move(text.toml));
        if (text.stands) {
            standing[i] = backend.text("Identifier");
        }
    }
    for (const auto& [id, server] : which) {
        if (standing.contains(server)) {
            out.names[id] = standing[server];
        }
    }
    return out;
}

} // namespace herd::app::import
