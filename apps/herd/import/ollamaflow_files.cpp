#include "herd/import/ollamaflow_files.hpp"

#include "base/text.hpp"
#include "herd/admin/ollamaflow.hpp"
#include "herd/import/toml_text.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::import {

namespace {

using admin::ollamaflow::Kind;

constexpr std::array<std::string_view, 10> booleans{"ssl",         "active",         "allowretries",   "allowembeddings", "allowcompletions",
                                                    "blockhttp10", "logrequestfull", "logrequestbody", "logresponsebody", "usestickysessions"};
constexpr std::array<std::string_view, 8> numbers{"port",          "timeoutms",           "maxrequestbodysize",        "unhealthythreshold", "healthythreshold",
                                                  "maxparallelrequests", "ratelimitthreshold", "stickysessionexpirationms"};
constexpr std::array<std::string_view, 6> objects{"backends", "requiredmodels", "labels", "headers", "pinnedembeddingsprops", "pinnedcompletionsprops"};
/// Columns that are called otherwise than the field they hold.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> renamed{{{"pinnedembeddingsprops", "PinnedEmbeddingsProperties"},
                                                                               {"pinnedcompletionsprops", "PinnedCompletionsProperties"},
                                                                               {"ratelimitthreshold", "RateLimitRequestsThreshold"}}};
/// What nobody would miss: what a row says when nobody touched it, or what herd does anyway.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> harmless{{{"logrequestfull", "0"}, {"logrequestbody", "0"}, {"logresponsebody", "0"},
                                                                                {"blockhttp10", "1"},
                                                                                {"healthcheckmethod", "GET"}, {"healthcheckurl", "/"}, {"querystring", ""}}};

template <std::size_t N>
bool among(const std::array<std::string_view, N>& list, std::string_view word) { return std::ranges::find(list, word) != list.end(); }

Json value_of(std::string_view column, const std::string& text)
{
    if (among(booleans, column)) {
        return base::iequals(text, "true") || text == "1";
    }
    if (among(numbers, column)) {
        const auto number = base::parse_unsigned(text);
        return number ? Json(*number) : Json();
    }
    if (among(objects, column)) {
        auto json = Json::parse(text, nullptr, false);
        return json.is_discarded() ? Json() : json;
    }
    return text;
}

Json object_of(const Row& row)
{
    Json out = Json::object();
    for (const auto& [name, text] : row) {
        const std::string column = base::lower(name);
        const bool nothing = std::ranges::any_of(harmless, [&](const auto& each) { return each.first == column && base::iequals(each.second, text); });
        if (nothing || column == "createdutc" || column == "lastupdateutc") {
            continue;
        }
        const auto* const other = std::ranges::find(renamed, column, &std::pair<std::string_view, std::string_view>::first);
        if (auto value = value_of(column, text); !value.is_null()) {
            out[other != renamed.end() ? std::string{other->second} : column] = std::move(value);
        }
    }
    return out;
}

/// Of several backends at one address the first stands for all.
struct Servers {
    std::map<std::string, std::string> first{};   ///< address → identifier
    std::map<std::string, std::string> instead{}; ///< identifier → that of the first one

    bool is_new(const Json& backend)
    {
        const auto id = backend.value("identifier", "");
        const auto at = fmt::format("{}:{}", base::lower(backend.value("hostname", "")), backend.value("port", std::uint64_t{0}));
        const auto [found, fresh] = first.emplace(at, id);
        instead[id] = found->second;
        return fresh;
    }
};

std::string section(std::string_view name, Kind kind, const Json& object)
{
    const auto native = admin::ollamaflow::ours(kind, object.dump(-1, ' ', false, Json::error_handler_t::replace), Json::object());
    if (!native) {
        return remark(fmt::format("Left out: {} ({})", object.value("identifier", "?"), native.error().context));
    }
    std::string out = fmt::format("\n[[{}]]\n", name);
    for (const auto& [key, value] : native->body.items()) {
        if (key == "query" && value.is_string()) { // "a=b&c=d"
            out += toml_line(key, Json(base::split_list(value.get_ref<const std::string&>(), '&')));
        } else if (!value.is_null()) {
            out += toml_line(key, value);
        }
    }
    if (!native->ignored.empty()) {
        out += remark("Not taken, there is nothing like it here: " + native->ignored);
    }
    return out;
}

std::string head_of(const Json& settings)
{
    std::string out;
    const Json server = settings.value("Webserver", Json::object());
    if (server.is_object() && server.value("Port", Json()).is_number_unsigned()) {
        const std::string host = server.value("Hostname", Json()).is_string() ? server["Hostname"].get<std::string>() : "localhost";
        const std::string at = host == "localhost" ? "127.0.0.1" : host == "*" || host == "+" ? "0.0.0.0" : host;
        out += toml_line("listen", Json::array({fmt::format("{}:{}", at, server["Port"].get<std::uint64_t>())}));
    }
    const Json tokens = settings.value("AdminBearerTokens", Json::array());
    if (tokens.is_array() && !tokens.empty()) {
        out += remark("Its admin tokens are not taken: `herd key add NAME --admin` makes a key.");
    }
    out += "\n[compat]\n" + remark("its admin API and its fields in answers, for programs that need them") + "ollamaflow_admin = true\nollamaflow_headers = true\n";
    const Json sticky = settings.value("StickyHeaders", Json::array());
    if (sticky.is_array() && !sticky.empty()) {
        out += "\n[affinity]\n" + toml_line("headers", sticky);
    }
    return out;
}

} // namespace

std::string toml_of_ollamaflow(std::string_view settings, const std::vector<Row>& frontends, const std::vector<Row>& backends)
{
    const auto read = Json::parse(settings, nullptr, false);
    std::string out = remark("Made by `herd import ollamaflow`. Look it over, then: herd --config THIS --check-config");
    out += head_of(read.is_object() ? read : Json::object());
    Servers servers;
    for (const Row& row : backends) {
        const Json backend = object_of(row);
        out += servers.is_new(backend) ? section("node", Kind::backend, backend)
                                       : "\n" + remark(fmt::format("{} is {} once more", backend.value("identifier", "?"), servers.instead[backend.value("identifier", "")]));
    }
    for (const Row& row : frontends) {
        Json frontend = object_of(row);
        if (frontend.contains("backends") && frontend["backends"].is_array()) {
            Json nodes = Json::array();
            for (const Json& each : frontend["backends"]) {
                const auto found = each.is_string() ? servers.instead.find(each.get<std::string>()) : servers.instead.end();
                const Json node = found != servers.instead.end() ? Json(found->second) : each;
                if (std::ranges::find(nodes, node) == nodes.end()) {
                    nodes.push_back(node);
                }
            }
            frontend["backends"] = std::move(nodes);
        }
        out += section("frontend", Kind::frontend, frontend);
    }
    return out;
}

} // namespace herd::app::import
