#include "proxy/question.hpp"

#include "proxy/aliases.hpp"
#include "proxy/extras.hpp"
#include "proxy/frontend.hpp"
#include "proxy/go_json.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/model_rules.hpp"
#include "proxy/profile.hpp"
#include "proxy/routes.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

constexpr std::size_t path_bytes_max = 256;

/// A member that is a text; empty when there is none that could be one.
std::string text_of(std::string_view body, std::string_view name)
{
    JsonReader reader(body);
    std::string text;
    if (!reader.enter()) {
        return text;
    }
    while (const auto key = reader.next_key()) {
        std::array<char, 8> space{};
        if (JsonReader::lower_key(*key, space) != name || reader.kind() != JsonReader::Kind::string) {
            reader.skip();
        } else if (!JsonReader::unescape(reader.string(), text, path_bytes_max)) {
            text.clear();
        }
    }
    return text;
}

/// As an exchange with that key finds it, and never one that the key is not for.
std::expected<const Frontend*, Problem> frontend_of_key(std::string_view body, const http::Fields& fields, const Frontends* all, const Key& key)
{
    const auto name = text_of(body, "frontend");
    const Frontend* found = nullptr;
    if (all != nullptr) {
        const auto* bound = key.frontends.size() == 1 ? all->find(key.frontends.front()) : nullptr;
        found = !name.empty() ? all->find(name) : bound != nullptr ? bound : all->of_host(fields.find("Host").value_or(""));
    }
    if (found == nullptr || !(key.may_use_frontend(found->config.id) || key.may_use_frontend(found->config.name))) {
        return std::unexpected(forbidden_frontend(found != nullptr ? std::string_view(found->config.id) : std::string_view(name)));
    }
    return found;
}

/// The frontend that is asked about: the member "frontend", else that of the key, else the one of the Host; null: none.
std::expected<const Frontend*, Problem> frontend_of(std::string_view body, const http::Fields& fields, const Frontends* all, const Key* key)
{
    if (key != nullptr && !key->frontends.empty()) {
        return frontend_of_key(body, fields, all, *key);
    }
    const auto name = text_of(body, "frontend");
    if (all == nullptr || name.empty()) {
        const Frontend* none = nullptr;
        return all == nullptr ? none : all->of_host(fields.find("Host").value_or(""));
    }
    const auto* found = all->find(name);
    if (found == nullptr) {
        return std::unexpected(Problem{404, "not_found", "no frontend is called " + name});
    }
    return found;
}

/// `path`: as the question names it; empty: the path that a body of this shape goes to.
Route route_of(std::string_view path, const BodyPeek& peek)
{
    const std::string_view likely = peek.messages_empty ? "/api/generate" : "/api/chat";
    return classify("POST", path.empty() ? likely : path, "");
}

/// What is no part of the request that is asked about.
std::string without_own_words(std::string_view body)
{
    return rebuilt(body, [](std::string_view key, std::string_view value) { return key == "path" || key == "frontend" ? std::string_view() : value; });
}

/// There is such a model, and on no node that has Ollama's own paths.
bool has_openai_paths_only(const fleet::Snapshot& snapshot, const std::string& model_key)
{
    const auto found = snapshot.models.find(model_key);
    return found != snapshot.models.end() && !found->second.empty() && std::ranges::all_of(found->second, [&snapshot](const fleet::Holder& holder) {
        return holder.tool != fleet::Tool::none || snapshot.nodes[holder.node].address.api() == fleet::NodeApi::openai;
    });
}

} // namespace

std::expected<fleet::Profile, Problem> read_question(std::string_view body, const http::Fields& fields,
                                                     const base::Endpoint& peer, base::Instant now,
                                                     const ProxyOptions& options, const fleet::Snapshot& snapshot, const Key* key)
{
    auto peek = peek_json(body);
    if (!peek.object || peek.broken || (options.frontends != nullptr && !go_json_fault(body).empty())) {
        return std::unexpected(bad_request("a JSON object with a model is needed"));
    }
    if (peek.model_or_name().empty()) {
        return std::unexpected(bad_request("model is required"));
    }
    const auto path = text_of(body, "path");
    auto route = route_of(path, peek);
    if (route.handling != Handling::inference && route.handling != Handling::unknown_post) {
        return std::unexpected(bad_request("no request to " + path + " is routed to a model's slot"));
    }
    const auto frontend = frontend_of(body, fields, options.frontends.get(), key);
    if (!frontend) {
        return std::unexpected(frontend.error());
    }
    auto wishes = read_wishes(fields, options.session_headers);
    if (!wishes.fault.empty()) {
        return std::unexpected(bad_request(std::move(wishes.fault)));
    }
    const auto& rules = *frontend != nullptr ? *(*frontend)->options : options;
    std::string pinned; // the body with the frontend's pins, where it has any
    bool options_pinned = false;
    if (*frontend != nullptr) {
        if (!(*frontend)->built_in) {
            wishes.allow_cloud = (*frontend)->config.allow_cloud;
        }
        if (const auto* pins = (*frontend)->pins.find(class_of(route), route)) {
            pinned = pins->merge_into(body);
            options_pinned = pins->names("options");
            peek = peek_json(pinned);
        }
        wishes.rules = (*frontend)->rules;
        wishes.labels.insert(wishes.labels.end(), (*frontend)->labels.begin(), (*frontend)->labels.end());
    }
    auto model = read_model(peek.model_or_name(), route);
    if (!model) {
        auto problem = std::move(model.error());
        problem.status = 400;
        return std::unexpected(std::move(problem));
    }
    if (options.aliases != nullptr) {
        const auto* members = wishes.rules == nullptr ? nullptr : &wishes.rules->members;
        const auto resolved = [&](const ModelReference& asked) {
            return options.aliases->stands_for({asked.text, asked.key, route.dialect == Dialect::anthropic, members, {}}, snapshot);
        };
        for (auto* list : {&peek.fallback_models, &wishes.fallback_models}) {
            for (std::string& name : *list) {
                const auto asked = read_model(name, route);
                name = asked ? resolved(*asked).value_or(name) : name;
            }
        }
        if (const auto real = resolved(*model)) {
            model = read_model(*real, route);
        }
    }
    if (const auto tool = snapshot.tools.find(model->key); path.empty() && tool != snapshot.tools.end()) {
        route = classify("POST", tool->second == fleet::Tool::image ? "/api/generate-image" : "/api/transcribe", "");
    } else if (path.empty() && has_openai_paths_only(snapshot, model->key)) {
        route = classify("POST", "/v1/chat/completions", "");
    }
    if (options.models != nullptr) {
        if (const auto fitted = options.models->fitted(pinned.empty() ? body : std::string_view(pinned), route, model->key, peek)) {
            peek = peek_json(*fitted); // what it tells stands on its own
        }
    }
    const bool rounded = round_num_ctx(peek, options.num_ctx_buckets);
    auto profile = make_profile(route, fleet::Need::slot, *model, peek, wishes, peer, now + patience_of(rules, wishes));
    profile.num_ctx_rounded = rounded;
    profile.larger_will_do = peek.num_ctx && !options_pinned && options.models != nullptr && options.models->protects() && takes_options(route);
    if (peek.prefer_loaded) {
        prefer_loaded(profile, wishes, snapshot);
    }
    return profile;
}

std::optional<std::string> pinned_body(std::string_view body, const http::Fields& fields, const ProxyOptions& options,
                                       const fleet::NodeView* node, const Key* key)
{
    if (options.frontends == nullptr) {
        return std::nullopt;
    }
    const auto route = route_of(text_of(body, "path"), peek_json(body));
    const auto kind = class_of(route);
    const auto frontend = frontend_of(body, fields, options.frontends.get(), key);
    const auto* first = frontend && *frontend != nullptr ? (*frontend)->pins.find(kind, route) : nullptr;
    const auto* sets = node != nullptr ? options.frontends->pins_of(node->id, node->name) : nullptr;
    const auto* later = sets != nullptr ? sets->find(kind, route) : nullptr;
    if (first == nullptr && later == nullptr) {
        return std::nullopt;
    }
    auto merged = without_own_words(body);
    for (const auto* pins : {first, later}) {
        merged = pins != nullptr ? pins->merge_into(merged) : std::move(merged);
    }
    return merged;
}

} // namespace herd::proxy
