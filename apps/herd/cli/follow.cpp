#include "herd/cli/follow.hpp"

#include "herd/cli/screen.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>

namespace herd::app {

namespace {

using Json = nlohmann::json;

const std::string& filter(const Verb& verb, const char* name)
{
    static const std::string none;
    const auto found = verb.filters.find(name);
    return found == verb.filters.end() ? none : found->second;
}

bool equals(const Json& record, const char* key, const std::string& wanted)
{
    const auto found = record.find(key);
    return found != record.end() && found->is_string() && found->get_ref<const std::string&>() == wanted;
}

/// The stream tells all of them; what was asked for is chosen here. (`since` and `limit` mean nothing to news.)
bool wanted(const Verb& verb, const Json& record)
{
    if (record.contains("skipped")) {
        return true;
    }
    const std::string& model = filter(verb, "model");
    const std::string& node = filter(verb, "node");
    const std::string& tag = filter(verb, "tag");
    const std::string& status = filter(verb, "status");
    if (!model.empty() && !equals(record, "model", model) && !equals(record, "requested_model", model)) {
        return false;
    }
    if (!node.empty() && !equals(record, "node", node)) {
        return false;
    }
    if (!tag.empty()) {
        const auto tags = record.find("tags");
        if (tags == record.end() || std::ranges::find(*tags, Json(tag)) == tags->end()) {
            return false;
        }
    }
    const int code = record.contains("status") && record["status"].is_number_integer() ? record["status"].get<int>() : 0;
    const std::string end = record.contains("termination") && record["termination"].is_string() ? record["termination"] : "--";
    const bool failed = code >= 500 || end.starts_with('N') || end.starts_with('T');
    if (status == "failed") {
        return failed;
    }
    if (status == "ok") {
        return code < 400 && end.starts_with('-');
    }
    if (status.size() == 3 && status.ends_with("xx")) {
        return code / 100 == status[0] - '0';
    }
    return status.empty() || status == std::to_string(code);
}

} // namespace

std::string requests_path(const Verb& verb)
{
    std::string path = "/herd/v1/requests";
    for (const auto& [name, value] : verb.filters) {
        if (!value.empty()) {
            path += (path.find('?') == std::string::npos ? "?" : "&") + name + "=" + cli::path_segment(value);
        }
    }
    return path;
}

base::Result<void> follow_requests(const Verb& verb, const cli::Server& server, const cli::Terminal& terminal)
{
    EventReader reader;
    const auto event = [&](std::string_view name, std::string_view data) {
        if (name != "request") {
            return;
        }
        const Json record = Json::parse(data, nullptr, false);
        if (!record.is_object() || !wanted(verb, record)) {
            return;
        }
        terminal.out << (verb.json ? std::string{data} : request_line(data, terminal, output_columns())) << std::endl; // seen at once
    };
    if (!verb.json) {
        terminal.out << request_heads(terminal, output_columns()) << std::endl;
    }
    for (int failures = 0;;) {
        const auto take = [&](std::string_view bytes) {
            failures = 0;
            reader.feed(bytes, event);
            return terminal.out.good();
        };
        const auto answer = cli::listen(server, "/herd/v1/events", reader.last_id(), take);
        if (!terminal.out.good()) {
            return {}; // whoever read us has gone
        }
        if (answer && answer->status != 200) {
            const Json said = Json::parse(answer->body, nullptr, false);
            const bool has_words = said.is_object() && said.contains("error") && said["error"].is_string();
            return base::fail(base::Errc::internal, has_words ? said["error"].get<std::string>() : fmt::format("status {}", answer->status));
        }
        if (++failures > 3) {
            return answer ? base::Result<void>{} : std::unexpected(answer.error());
        }
        (void)::poll(nullptr, 0, 500); // a restart takes a moment
    }
}

} // namespace herd::app
