#include "proxy/routes.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace herd::proxy {
namespace {

using enum Handling;

struct Entry {
    std::string_view pattern; ///< ":" ends a pattern whose last segment is a parameter
    Handling handling;
    std::string_view allow; ///< in the order in which Ollama lists them
    StreamKind stream{StreamKind::none};
    bool replayable{false};
    bool embedding{false};
    bool streams_by_default{false};
    bool multipart{false};
    fleet::Tool tool{fleet::Tool::none};
};

constexpr auto ndjson_done = StreamKind::ndjson_done;
constexpr auto ndjson_success = StreamKind::ndjson_success;
constexpr auto none = StreamKind::none;

constexpr std::array table{
    Entry{"/", root, "HEAD, GET"},
    Entry{"/api/version", version, "HEAD, GET"},
    Entry{"/api/status", status, "GET"},
    Entry{"/api/tags", tags, "HEAD, GET"},
    Entry{"/api/ps", ps, "GET"},
    Entry{"/api/show", show, "POST", none, true},
    Entry{"/api/generate", inference, "POST", ndjson_done, true, false, true},
    Entry{"/api/chat", inference, "POST", ndjson_done, true, false, true},
    Entry{"/api/embed", inference, "POST", none, true, true},
    Entry{"/api/embeddings", inference, "POST", none, true, true},
    Entry{"/api/pull", pull, "POST", ndjson_success, false, false, true},
    Entry{"/api/push", push, "POST", ndjson_success, false, false, true},
    Entry{"/api/create", create, "POST", ndjson_success, false, false, true},
    Entry{"/api/blobs/:", blob, "HEAD, POST"},
    Entry{"/api/copy", copy, "POST"},
    Entry{"/api/delete", remove, "DELETE"},
    Entry{"/api/me", account, "POST", none, true},
    Entry{"/api/signout", account, "POST"},
    Entry{"/api/user/keys/:", account, "DELETE"},
    Entry{"/api/experimental/web_search", any_node, "POST", none, true},
    Entry{"/api/experimental/web_fetch", any_node, "POST", none, true},
    Entry{"/api/experimental/model-recommendations", any_node, "GET", none, true},
    Entry{"/v1/models", models, "GET"},
    Entry{"/v1/models/:", model_lookup, "GET"},
    Entry{"/v1/chat/completions", inference, "POST", StreamKind::sse_done, true},
    Entry{"/v1/completions", inference, "POST", StreamKind::sse_done, true},
    Entry{"/v1/embeddings", inference, "POST", none, true, true},
    Entry{"/v1/responses", inference, "POST", StreamKind::sse_response, true},
    Entry{"/v1/messages", inference, "POST", StreamKind::sse_message, true},
    Entry{"/v1/messages/count_tokens", count_tokens, "POST"},
    Entry{"/v1/systemone", inference, "POST", none, true},
    Entry{"/v1/audio/transcriptions", inference, "POST", none, true, false, false, true, fleet::Tool::speech},
    Entry{"/v1/images/generations", inference, "POST", none, true, false, false, false, fleet::Tool::image},
    Entry{"/api/transcribe", inference, "POST", none, true, false, false, true, fleet::Tool::speech},
    Entry{"/api/generate-image", inference, "POST", none, true, false, false, false, fleet::Tool::image},
    Entry{"/api/image-models", image_models, "GET"},
};

int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// False for a broken escape, or for one that would smuggle a control character.
bool percent_decode(std::string_view text, std::string& out)
{
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) {
                return false;
            }
            c = static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                return false;
            }
        }
        out.push_back(c);
    }
    return true;
}

/// Doubled slashes, "." and ".." taken out, as Go's ServeMux does; a slash at the end stays.
std::string clean(std::string_view path)
{
    std::vector<std::string_view> parts;
    std::size_t at = 0;
    while (at < path.size()) {
        const auto slash = path.find('/', at);
        const auto part = path.substr(at, slash == path.npos ? path.npos : slash - at);
        if (part == ".." && !parts.empty()) {
            parts.pop_back();
        } else if (!part.empty() && part != "." && part != "..") {
            parts.push_back(part);
        }
        if (slash == path.npos) {
            break;
        }
        at = slash + 1;
    }
    std::string out;
    for (const auto part : parts) {
        out.append("/").append(part);
    }
    if (out.empty() || path.back() == '/') {
        out.push_back('/');
    }
    return out;
}

/// Model names may have slashes; Ollama's own router does not take them there, clients of ours may.
bool takes_slashes(Handling handling) { return handling == model_lookup; }

const Entry* find(std::string_view path, std::string& parameter)
{
    for (const auto& entry : table) {
        if (!entry.pattern.ends_with(':')) {
            if (entry.pattern == path) {
                return &entry;
            }
            continue;
        }
        const auto prefix = entry.pattern.substr(0, entry.pattern.size() - 1);
        if (path.size() > prefix.size() && path.starts_with(prefix)) {
            const auto rest = path.substr(prefix.size());
            if (takes_slashes(entry.handling) ? !rest.ends_with('/') : rest.find('/') == rest.npos) {
                parameter = rest;
                return &entry;
            }
        }
    }
    return nullptr;
}

bool allows(std::string_view allow, std::string_view method)
{
    std::size_t at = 0;
    while (at < allow.size()) {
        const auto end = std::min(allow.find(", ", at), allow.size());
        if (allow.substr(at, end - at) == method) {
            return true;
        }
        at = end + 2;
    }
    return false;
}

/// The usual case: a path that stands in the table as it is. (None of them needs decoding or cleaning.)
const Entry* find_literal(std::string_view path)
{
    if (path.ends_with(':')) {
        return nullptr;
    }
    const auto* const entry = std::ranges::find(table, path, &Entry::pattern);
    return entry == table.end() ? nullptr : entry;
}

void fill(Route& route, const Entry& entry, std::string_view method)
{
    route.pattern = entry.pattern;
    route.allow = entry.allow;
    route.handling = entry.handling;
    route.stream = entry.stream;
    route.embedding = entry.embedding;
    route.replayable = entry.replayable || (entry.handling == blob && method == "HEAD");
    route.streams_by_default = entry.streams_by_default;
    route.multipart = entry.multipart;
    route.tool = entry.tool;
    route.tools_only = entry.tool != fleet::Tool::none && route.dialect == Dialect::ollama;
}

std::string with_query(std::string location, std::string_view query)
{
    if (!query.empty()) {
        location.append("?").append(query);
    }
    return location;
}

} // namespace

std::string_view to_string(Dialect dialect)
{
    switch (dialect) {
    case Dialect::ollama: return "ollama";
    case Dialect::openai: return "openai";
    case Dialect::anthropic: return "anthropic";
    }
    return "ollama";
}

Dialect dialect_of(std::string_view path)
{
    constexpr std::string_view messages = "/v1/messages";
    if (path.starts_with(messages) && (path.size() == messages.size() || path[messages.size()] == '/'
                                       || path[messages.size()] == '?')) {
        return Dialect::anthropic;
    }
    return path.starts_with("/v1/") ? Dialect::openai : Dialect::ollama;
}

std::vector<std::pair<std::string_view, std::string_view>> route_list()
{
    std::vector<std::pair<std::string_view, std::string_view>> list;
    for (const auto& entry : table) {
        for (std::string_view rest = entry.allow; !rest.empty();) {
            const auto end = std::min(rest.find(", "), rest.size());
            list.emplace_back(rest.substr(0, end), entry.pattern);
            rest.remove_prefix(std::min(end + 2, rest.size()));
        }
    }
    return list;
}

Route classify(std::string_view method, std::string_view path, std::string_view query)
{
    Route route;
    if (const auto* entry = find_literal(path); entry != nullptr && allows(entry->allow, method)) {
        route.dialect = dialect_of(path);
        fill(route, *entry, method);
        return route;
    }
    std::string decoded;
    if (path.empty() || path.front() != '/' || !percent_decode(path, decoded)) {
        route.dialect = dialect_of(path);
        return route;
    }
    route.dialect = dialect_of(decoded);
    if (path.find("//") != path.npos || path.find("/.") != path.npos) {
        const auto cleaned = clean(path);
        if (cleaned != path) {
            route.handling = redirect;
            route.redirect_status = 301;
            route.location = with_query(cleaned, query);
            return route;
        }
    }
    const auto* entry = find(decoded, route.parameter);
    if (entry == nullptr && decoded.size() > 1 && decoded.back() == '/') {
        std::string ignored;
        const auto* without = find(std::string_view(decoded).substr(0, decoded.size() - 1), ignored);
        if (without != nullptr && allows(without->allow, method)) {
            route.handling = redirect;
            route.redirect_status = method == "GET" ? 301 : 307;
            route.location = with_query(std::string(path.substr(0, path.size() - 1)), query);
            return route;
        }
    }
    if (entry == nullptr) {
        if (method == "POST" && decoded.back() != '/') {
            route.handling = unknown_post;
            route.embedding = decoded == "/api/embed-image"; // Ollama Herd's, parity.md 3.4
            route.replayable = true;
        }
        return route;
    }
    if (!allows(entry->allow, method)) {
        route.pattern = entry->pattern;
        route.allow = entry->allow;
        route.handling = wrong_method;
        return route;
    }
    fill(route, *entry, method);
    return route;
}

} // namespace herd::proxy
