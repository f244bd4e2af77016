#include "herd/import/ollamaflow_frontends.hpp"

#include "base/text.hpp"
#include "config/values.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::size_t id_bytes_max = 128;
constexpr std::uint64_t sticky_least_ms = 10'000;
constexpr std::uint64_t sticky_most_ms = 86'400'000;

bool fit_for_id(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'; }

void name_it(Object& frontend, Names& ids, Names& names)
{
    std::string id = frontend.id.empty() ? "frontend" : frontend.id;
    std::ranges::replace_if(id, [](char c) { return !fit_for_id(c); }, '-');
    id = ids.free(std::move(id), id_bytes_max);
    if (id != frontend.id) {
        frontend.note("Identifier", fmt::format("written as the id {}: ids of herd are letters, digits, . _ and -", shown(id)));
    }
    frontend.fields["Identifier"] = id;
    const std::string theirs = frontend.text("Name");
    const bool fits = theirs.empty() || config::parse_name(theirs);
    if (!theirs.empty() && fits && names.take(theirs)) {
        return;
    }
    const std::string name = names.free(id, 63);
    frontend.fields["Name"] = name;
    if (!theirs.empty()) {
        frontend.note(fmt::format("Name {}", shown(theirs)),
                      fmt::format("{}: it is called {}", fits ? "another frontend has that name already" : "a name of herd has 1 to 63 bytes", shown(name)));
    }
}

/// Whose a hostname is when several want it: theirs lets the newest have it. One that is switched off serves nobody here,
/// so that it has none when another could serve.
std::map<std::string, const Object*> owners_of(const std::vector<Object>& frontends)
{
    const auto rank = [](const Object& one) { return std::pair(one.yes("Active"), std::string_view(one.created)); };
    std::map<std::string, const Object*> owners;
    for (const Object& each : frontends) {
        const Object*& owner = owners[base::lower(each.text("Hostname"))];
        owner = owner == nullptr || rank(each) >= rank(*owner) ? &each : owner;
    }
    return owners;
}

void mend_hostnames(std::vector<Object>& frontends)
{
    const auto owners = owners_of(frontends);
    for (Object& each : frontends) {
        const std::string host = each.text("Hostname");
        const Object& owner = *owners.at(base::lower(host));
        std::string why;
        if (!host.empty() && &owner != &each) {
            why = fmt::format("{} has it, the newest {}of those with that Hostname", owner.called(), owner.yes("Active") ? "active one " : "");
        } else if (!host.empty() && !fault_of("[[frontend]]\nname = \"x\"\n" + toml_line("hostnames", Json::array({host}))).empty()) {
            why = "it is no name of a host without a port";
        } else if (host.starts_with("*.")) {
            each.note(fmt::format("Hostname {}", shown(host)), "stands for every name that ends so, what it did not do in OllamaFlow");
        }
        if (!why.empty() || host.empty()) {
            each.note(fmt::format("Hostname {}", shown(host)), fmt::format("left out{}{}: no host name leads to this frontend until it has hostnames", why.empty() ? "" : ", ", why));
            each.fields["Hostname"] = Json::array();
        }
    }
}

void mend_backends(Object& frontend, const std::map<std::string, std::string>& nodes)
{
    const Json theirs = frontend.fields.value("Backends", Json::array());
    Json kept = Json::array();
    for (const Json& each : theirs) {
        const auto found = each.is_string() ? nodes.find(each.get<std::string>()) : nodes.end();
        if (found == nodes.end()) {
            frontend.note(fmt::format("Backends {}", shown(each.is_string() ? each.get<std::string>() : each.dump())), "left out, there is no such node");
        } else if (std::ranges::find(kept, Json(found->second)) == kept.end()) {
            kept.push_back(found->second);
        }
    }
    frontend.fields["Backends"] = std::move(kept); // none is none: without the key it would be all
}

void mend_models(Object& frontend)
{
    const Json models = frontend.fields.value("RequiredModels", Json::array());
    Json kept = Json::array();
    for (const Json& each : models) {
        if (each.is_string() && fault_of("[[frontend]]\nname = \"x\"\n" + toml_line("required_models", Json::array({each}))).empty()) {
            kept.push_back(each);
        } else {
            frontend.note(fmt::format("RequiredModels {}", shown(each.is_string() ? each.get<std::string>() : each.dump())), "left out, that is no model that can be pulled");
        }
    }
    frontend.fields["RequiredModels"] = std::move(kept);
}

void mend_policy(Object& frontend)
{
    const std::string theirs = frontend.text("LoadBalancing");
    for (const auto& [name, ours] : {std::pair{"RoundRobin", "RoundRobin"}, std::pair{"Random", "Random"}, std::pair{"LeastConnections", "LeastBusy"}}) {
        if (base::iequals(theirs, name)) {
            frontend.fields["LoadBalancing"] = ours;
            return;
        }
    }
    if (!theirs.empty()) {
        frontend.fields.erase("LoadBalancing");
        frontend.note(fmt::format("LoadBalancing {}", shown(theirs)), "left out, herd has no such policy: the cheapest node is chosen (policy = \"cost\")");
    }
}

} // namespace

std::vector<std::string> frontends_of(const std::vector<Row>& frontends, const std::map<std::string, std::string>& nodes)
{
    std::vector<Object> objects;
    for (const Row& row : frontends) {
        Object& object = objects.emplace_back(object_of(admin::ollamaflow::Kind::frontend, row));
        if (std::ranges::none_of(row, [](const auto& each) { return base::iequals(each.first, "hostname"); })) {
            object.fields["Hostname"] = "*";
        }
    }
    mend_hostnames(objects);
    Names ids;
    Names names;
    std::vector<std::string> out;
    for (Object& each : objects) {
        name_it(each, ids, names);
        mend_backends(each, nodes);
        mend_models(each);
        mend_policy(each);
        each.clamp("StickySessionExpirationMs", sticky_least_ms, sticky_most_ms);
        if (!each.yes("Active")) {
            each.note("Active 0", "requests are answered 503 here; OllamaFlow served them all the same");
        }
        each.ours["allow_model_admin"] = true;
        const auto draft = draft_of(each, "[[frontend]]", "id");
        out.push_back(draft ? draft->text().toml : remark(fmt::format("{} is left out: {}", each.called(), draft.error().context)));
    }
    return out;
}

} // namespace herd::app::import
