#include "herd/import/ollamaflow_files.hpp"

#include "base/text.hpp"
#include "herd/import/ollamaflow_backends.hpp"
#include "herd/import/ollamaflow_frontends.hpp"
#include "herd/policy/policy_json.hpp"

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::uint64_t usual_port = 43411;

std::string webserver_of(const Json& server)
{
    if (!server.is_object()) {
        return {};
    }
    std::string out;
    const Json host = server.value("Hostname", Json());
    const Json port = server.value("Port", Json());
    if (host.is_string() || port.is_number_unsigned()) {
        out = listening(host.is_string() ? host.get<std::string>() : "localhost", port.is_number_unsigned() ? port.get<std::uint64_t>() : usual_port, usual_port,
                        "Webserver.Hostname, Webserver.Port");
    }
    const Json ssl = server.value("Ssl", Json());
    if (ssl.is_object() && ssl.value("Enable", Json()) == true) {
        out += remark("Webserver.Ssl.Enable true: left out, herd serves HTTPS with tls.cert and tls.key (PEM files), or tls.self_signed = true");
    }
    return out;
}

std::string sticky_of(const Json& headers)
{
    if (!headers.is_array()) {
        return {};
    }
    Draft draft("[affinity]", "");
    Json kept = Json::array();
    for (const Json& each : headers) {
        if (each.is_string() && fault_of("[affinity]\n" + toml_line("headers", Json::array({each}))).empty()) {
            kept.push_back(each);
        } else {
            draft.note(fmt::format("StickyHeaders {}: left out, herd takes no such field as the key of a conversation", shown(each.is_string() ? each.get<std::string>() : each.dump())));
        }
    }
    draft.line("headers", kept, "StickyHeaders");
    return draft.text().toml;
}

std::string head_of(std::string_view text)
{
    const auto read = nested_too_deeply(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
    const Json settings = read.is_object() ? read : Json::object();
    std::string out = base::trim(text).empty() || read.is_object() ? "" : remark("ollamaflow.json: left out, it is no JSON object");
    out += webserver_of(settings.value("Webserver", Json()));
    const Json tokens = settings.value("AdminBearerTokens", Json());
    if (tokens.is_array() && !tokens.empty()) {
        out += remark("Its admin tokens are not taken: `herd key add NAME --admin` makes a key.");
    }
    for (const auto& [name, value] : settings.items()) {
        if (name != "Webserver" && name != "AdminBearerTokens" && name != "StickyHeaders" && name != "CreatedUtc") {
            out += remark(fmt::format("ollamaflow.json: {}: left out, herd has nothing like it or needs no such setting", name));
        }
    }
    out += "\n[compat]\n" + remark("its admin API and its fields in answers, for programs that need them") + "ollamaflow_admin = true\nollamaflow_headers = true\n";
    return out + sticky_of(settings.value("StickyHeaders", Json()));
}

} // namespace

std::string toml_of_ollamaflow(std::string_view settings, const std::vector<Row>& frontends, const std::vector<Row>& backends)
{
    std::string out = remark("Made by `herd import ollamaflow`. Look it over, then: herd --config THIS --check-config");
    out += head_of(settings);
    const Nodes nodes = nodes_of(backends);
    std::vector<std::string> sections = nodes.sections;
    sections.push_back("\n" + (frontends.empty() ? remark("There were no frontends, and nobody was served. Without any, herd serves everybody with all its nodes.")
                                                 : remark("OllamaFlow let everybody pull, copy and delete models: so it is here, until you write allow_model_admin = false.")
                                                     + remark("Models that run in Ollama's cloud are refused by a frontend: allow_cloud = true lets them through.")));
    for (std::string& each : frontends_of(frontends, nodes.names)) {
        sections.push_back(std::move(each));
    }
    std::size_t left = 0;
    for (const std::string& each : sections) {
        const bool fits = out.size() + each.size() <= toml_bytes_max;
        out += fits ? each : "";
        left += fits ? 0 : 1;
    }
    return out + (left == 0 ? "" : remark(fmt::format("{} backends or frontends are left out: herd reads no file larger than 1 MiB", left)));
}

} // namespace herd::app::import
