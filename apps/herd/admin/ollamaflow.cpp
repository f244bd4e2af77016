#include "herd/admin/ollamaflow.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "herd/options.hpp"
#include "herd/policy/policy_json.hpp"
#include "http/url.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

#include <fmt/format.h>

namespace herd::app::admin::ollamaflow {

namespace {

enum class As : std::uint8_t { same, one, ms, bytes, word, policy, query, date, span, apart }; // date, span: told only; apart: that, or looked at below

struct Field {
    std::string theirs;
    std::string ours;
    As as{As::same};
    Json missing{}; ///< what a PUT that does not name it means: their default, or ours where parity 3.2 has one; null: none
    bool reach{false}; ///< of how a node is reached
};

const std::vector<Field>& fields(Kind kind)
{
    static const std::vector<Field> frontend{
        {"Identifier", "id"}, {"Name", "name"}, {"Hostname", "hostnames", As::one, "*"},
        {"TimeoutMs", "first_byte_timeout", As::ms, 60'000U}, {"LoadBalancing", "policy", As::policy, "RoundRobin"},
        {"Policy", "own_policy", As::apart}, {"MaxRequestBodySize", "max_body", As::bytes, 536'870'912U},
        {"Backends", "nodes", As::same, Json::array()}, {"RequiredModels", "required_models", As::same, Json::array()},
        {"UseStickySessions", "sticky", As::same, false}, {"StickySessionExpirationMs", "sticky_ttl", As::ms, 1'800'000U},
        {"PinnedEmbeddingsProperties", "pinned_embeddings", As::same, Json::object()},
        {"PinnedCompletionsProperties", "pinned_completions", As::same, Json::object()}, {"AllowEmbeddings", "allow_embeddings", As::same, true},
        {"AllowCompletions", "allow_completions", As::same, true}, {"AllowRetries", "allow_retries", As::same, true},
        {"Active", "active", As::same, true}, {"CreatedUtc", "created", As::date}, {"LastUpdateUtc", "updated", As::date}};
    static const std::vector<Field> backend{
        {"Identifier", "name"}, {"Name", "name", As::apart}, {"Hostname", "host", As::apart}, {"Port", "port", As::apart},
        {"Ssl", "ssl", As::apart}, {"HealthCheckUrl", "health_path", As::same, {}, true},
        {"HealthCheckMethod", "health_method", As::same, "GET", true}, {"UnhealthyThreshold", "down_after", As::same, 2U, true},
        {"HealthyThreshold", "up_after", As::same, 1U, true}, {"MaxParallelRequests", "max_parallel", As::apart},
        {"RateLimitRequestsThreshold", "threshold", As::apart}, {"ApiFormat", "api", As::word, "Ollama", true},
        {"Labels", "labels", As::same, Json::array()}, {"PinnedEmbeddingsProperties", "pinned_embeddings", As::same, Json::object()},
        {"PinnedCompletionsProperties", "pinned_completions", As::same, Json::object()}, {"AllowEmbeddings", "allow_embeddings", As::same, true},
        {"AllowCompletions", "allow_completions", As::same, true}, {"BearerToken", "bearer", As::same, {}, true},
        {"Querystring", "query", As::query, {}, true}, {"Headers", "headers", As::same, Json::object(), true},
        {"Active", "active", As::same, true}, {"State", "state", As::apart},
        {"Healthy", "healthy", As::apart}, {"HealthySinceUtc", "healthy_since", As::date},
        {"UnhealthySinceUtc", "unhealthy_since", As::date}, {"LatencyMs", "latency_ms", As::apart},
        {"Uptime", "uptime_ms", As::span}, {"Downtime", "downtime_ms", As::span}, {"ActiveRequests", "in_flight", As::apart},
        {"IsSticky", "sticky", As::apart}, {"CreatedUtc", "created", As::date}, {"LastUpdateUtc", "updated", As::date}};
    return kind == Kind::frontend ? frontend : backend;
}

constexpr std::array<std::pair<const char*, const char*>, 6> words{{{"RoundRobin", "round_robin"}, {"Random", "random"}, {"Cost", "cost"},
                                                                    {"LeastBusy", "least_busy"}, {"Ollama", "ollama"}, {"OpenAI", "openai"}}};

bool nothing(const Json& value) { return value.is_null() || (value.is_object() && value.empty()); }

/// Theirs has words for two of our four.
bool has_own_word(const Json& policy) { return policy == "cost" || policy == "least_busy"; }

/// As .NET writes a TimeSpan: "1.02:03:04.5670000", days and a fraction only where there are some.
std::string span(std::int64_t lasted_ms)
{
    const std::int64_t ms = std::max<std::int64_t>(lasted_ms, 0); // a clock may be set back
    const std::int64_t s = ms / 1000;
    const std::string days = s >= 86'400 ? fmt::format("{}.", s / 86'400) : "";
    const std::string fraction = ms % 1000 != 0 ? fmt::format(".{:03}0000", ms % 1000) : "";
    return fmt::format("{}{:02}:{:02}:{:02}{}", days, s / 3600 % 24, s / 60 % 60, s % 60, fraction);
}

Json as_theirs(As as, const Json& value)
{
    switch (as) {
    case As::one: return value.empty() ? Json() : value.front();
    case As::ms: return base::parse_duration(value.get<std::string>()).value_or(base::Duration{}) / std::chrono::milliseconds{1};
    case As::bytes: return base::parse_bytes(value.get<std::string>()).value_or(0);
    case As::word: return std::ranges::find(words, value.get<std::string>(), &std::pair<const char*, const char*>::second)->first;
    case As::policy: return as_theirs(As::word, has_own_word(value) ? Json("round_robin") : value);
    case As::span: return span(value.get<std::int64_t>());
    case As::query: return value.empty() ? Json() : "***";
    case As::date: return value.get<std::string>().substr(0, value.get<std::string>().find('Z')) + "000Z"; // to the microsecond, as .NET has it
    default: return value;
    }
}

/// A value of the wrong kind stays as it is: /herd/v1 says what is wrong with it.
Json as_ours(As as, const Json& value)
{
    const auto* const word = std::ranges::find(words, value, [](const auto& each) { return Json(each.first); });
    if ((as == As::word || as == As::policy) && word != words.end()) {
        return word->second;
    }
    if (as == As::ms && value.is_number_unsigned()) {
        return value.dump() + "ms";
    }
    return as == As::one && value.is_string() ? Json::array({value}) : value;
}

/// The threshold counts what runs beside what waits; a node without one keeps none unless the body says so.
void take_limits(const Json& wanted, const Json& now, Json& out)
{
    constexpr const char* parallel_name = "MaxParallelRequests";
    constexpr const char* threshold_name = "RateLimitRequestsThreshold";
    const Json parallel = wanted.value(parallel_name, Json(4U));
    const Json threshold = wanted.value(threshold_name, now.empty() || now.contains(threshold_name) ? Json(10U) : Json());
    const bool sent_back = wanted.contains(parallel_name) && parallel == now.value(parallel_name, Json());
    if (!sent_back) {
        out["max_parallel"] = parallel;
    }
    if (threshold.is_null() || (sent_back && threshold == now.value(threshold_name, Json()))) {
        return;
    }
    out["queue_limit"] = threshold;
    if (threshold.is_number_unsigned() && parallel.is_number_unsigned()) {
        out["queue_limit"] = threshold.get<std::uint64_t>() - std::min(threshold.get<std::uint64_t>(), parallel.get<std::uint64_t>());
    }
}

/// Hostname, Port and Ssl are one url.
void take_url(const Json& wanted, const Json& now, Json& out)
{
    const auto part = [&](const char* name, const Json& otherwise) { return wanted.value(name, now.value(name, otherwise)); };
    const Json host = part("Hostname", "localhost");
    const Json port = part("Port", 11434U);
    const Json ssl = part("Ssl", false);
    const bool moved = std::ranges::any_of(std::array{"Hostname", "Port", "Ssl"}, [&](const char* name) {
        return wanted.contains(name) && wanted[name] != now.value(name, Json());
    });
    if (now.empty() || moved) {
        const std::string name = host.is_string() ? host.get<std::string>() : host.dump();
        const std::string bracketed = name.contains(':') && !name.starts_with('[') ? "[" + name + "]" : name;
        out["url"] = (ssl == true ? "https://" : "http://") + bracketed + ":" + port.dump();
    }
}

/// What is in force where it says nothing. How a node that announces itself is probed is told too: an object that was
/// read must be fit to be sent back by a client that fills in what it misses.
void tell_defaults(Kind kind, Json& object)
{
    const auto usual = [&object](const char* key, Json value) {
        if (const Json now = object.value(key, Json()); now.is_null() || now == "") {
            object[key] = std::move(value);
        }
    };
    usual("pinned_embeddings", Json::object());
    usual("pinned_completions", Json::object());
    if (kind == Kind::backend) {
        const ConfiguredNode node;
        usual("down_after", node.down_after);
        usual("up_after", node.up_after);
        usual("health_method", "GET");
        usual("health_path", object.value("api", "") == "openai" ? "/v1/models" : "/api/version");
        usual("headers", Json::object());
    }
}

/// What an object has in other words.
Json with_parts(Kind kind, Json node)
{
    tell_defaults(kind, node);
    if (kind == Kind::frontend) {
        if (has_own_word(node.value("policy", ""))) {
            node["own_policy"] = node["policy"];
        }
        return node;
    }
    if (const auto url = http::Url::parse(node.value("url", ""))) {
        node.update({{"host", url->host}, {"port", url->port}, {"ssl", url->scheme == "https"}});
    }
    if (node.value("max_parallel", 0U) == 0) { // nobody set a limit: what its slots allow
        const Json slots = node.value("slots", Json());
        node["max_parallel"] = std::max(1U, slots.is_object() ? slots.value("total", 1U) : 1U);
    }
    if (node.contains("queue_limit")) {
        node["threshold"] = node["queue_limit"].get<std::uint64_t>() + node["max_parallel"].get<std::uint64_t>();
    }
    node["healthy"] = node.value("state", "") == "online" || node.value("state", "") == "suspect";
    node[node["healthy"] == true ? "healthy_since" : "unhealthy_since"] = node.value("since", "");
    node[node["healthy"] == true ? "uptime_ms" : "downtime_ms"] = node.value("lasted_ms", Json());
    node["sticky"] = false; // whether it was chosen because of a conversation: theirs has it of a request, and none is asked about
    return node;
}

} // namespace

bool owns(std::string_view path) { return path.starts_with("/v1.0/frontends") || path.starts_with("/v1.0/backends"); }

Json theirs(Kind kind, const Json& ours)
{
    const Json object = with_parts(kind, ours);
    Json out = Json::object();
    for (const Field& field : fields(kind)) {
        const Json value = object.value(field.ours, Json());
        Json shown = value.is_null() || value == "" ? Json() : as_theirs(field.as, value);
        if (!shown.is_null()) {
            out[field.theirs] = std::move(shown);
        }
    }
    return out;
}

base::Result<Native> ours(Kind kind, std::string_view body, const Json& now, bool fixed)
{
    const Json json = nested_too_deeply(body) ? Json(Json::value_t::discarded) : Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::bad_config, "the body must be a JSON object");
    }
    Native out;
    const auto ignore = [&out](const std::string& name) {
        if (out.ignored.size() < 256) {
            out.ignored += (out.ignored.empty() ? "" : ", ") + name;
        }
    };
    Json wanted = Json::object(); // by their names, which may be written in any case
    for (const auto& [name, value] : json.items()) {
        const auto field = std::ranges::find_if(fields(kind), [&](const Field& each) { return base::iequals(each.theirs, name); });
        const bool plain = name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) != 0; });
        if (field != fields(kind).end()) {
            if (!value.is_null() && (value != "" || field->theirs == "Hostname")) { // else: as if it were not named
                wanted[field->theirs] = value;
            }
        } else {
            ignore(plain ? name : "?");
        }
    }
    const Json called = now.value("Identifier", Json());
    if (!now.empty() && wanted.value("Identifier", called) != called) { // frontends name their nodes by it
        wanted.erase("Identifier");
        ignore("Identifier");
    }
    if (const Json name = wanted.value("Identifier", called); kind == Kind::backend && wanted.value("Name", name) != name) {
        ignore("Name"); // a node has one name
    }
    for (const Field& field : fields(kind)) {
        const Json present = now.value(field.theirs, Json());
        const bool names = field.theirs == "Identifier" || field.theirs == "Name";
        const bool stays = !now.empty() && (names || present.is_null() || (fixed && field.reach)); // when it is not named
        const Json value = wanted.value(field.theirs, stays ? present : field.missing);
        const bool told_only = field.as == As::date || field.as == As::span;
        if (field.as != As::apart && !told_only && value != present && !(nothing(value) && nothing(present))) {
            out.body[field.ours] = nothing(value) ? Json() : as_ours(field.as, value);
        }
    }
    if (wanted.contains("Policy") && wanted["Policy"] != now.value("Policy", Json())) {
        out.body["policy"] = wanted["Policy"];
    }
    if (kind == Kind::backend) {
        take_limits(wanted, now, out.body);
        take_url(wanted, now, out.body);
        if (out.body.value("name", Json()) == "health") {
            return base::fail(base::Errc::bad_config, "Identifier: a backend cannot be called health, which is a path");
        }
    }
    return out;
}

std::string field_of(Kind kind, std::string_view key)
{
    if (kind == Kind::backend && (key == "url" || key == "queue_limit")) {
        return key == "url" ? "Hostname, Port, Ssl" : "RateLimitRequestsThreshold";
    }
    const auto same = [key](const Field& each) { return each.ours == key || (key.starts_with("pinned_") && key.starts_with(each.ours + "_")); };
    const auto field = std::ranges::find_if(fields(kind), [&](const Field& each) { return !each.ours.empty() && same(each); });
    return field == fields(kind).end() ? std::string{key} : field->theirs;
}

std::string error(int status, std::string_view native, bool linked)
{
    constexpr std::array<std::pair<int, const char*>, 7> kinds{{{401, "AuthenticationFailed"}, {403, "AuthorizationFailed"}, {404, "NotFound"},
                                                                {409, "Conflict"}, {413, "TooLarge"}, {429, "SlowDown"}, {502, "BadGateway"}}};
    const auto* const kind = std::ranges::find(kinds, status, &std::pair<int, const char*>::first);
    const char* const name = linked ? "InUse" : kind != kinds.end() ? kind->second : status >= 500 ? "InternalError" : "BadRequest";
    const Json said = Json::parse(native, nullptr, false);
    const Json body{{"Error", name},
                    {"StatusCode", status},
                    {"Message", said.is_object() ? said.value("error", "") : std::string{}}};
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app::admin::ollamaflow
