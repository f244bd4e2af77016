#include "proxy/bare_answer.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {

std::string_view type_of_bare(const Route& route, bool stream, int status, std::string_view body_begin)
{
    const auto at = body_begin.find_first_not_of(" \t\r\n");
    if (at == body_begin.npos) {
        return {};
    }
    const std::string_view text = body_begin.substr(at);
    constexpr std::array<std::string_view, 4> event_fields{"data:", "event:", "id:", ":"};
    if (status < 300 && std::ranges::any_of(event_fields, [text](std::string_view field) { return text.starts_with(field); })) {
        return "text/event-stream";
    }
    if (text.front() != '{' && text.front() != '[') {
        return "text/plain; charset=utf-8";
    }
    const bool lines = route.stream == StreamKind::ndjson_done || route.stream == StreamKind::ndjson_success;
    if (lines && stream && status < 300) {
        return "application/x-ndjson";
    }
    return route.dialect == Dialect::ollama ? "application/json; charset=utf-8" : "application/json";
}

void restore_type(http::ResponseHead& head, const Route& route, bool stream, std::string_view body_begin)
{
    const auto told = head.fields.find("Content-Type");
    if (told && *told != "application/octet-stream") { // which its library writes where nothing was said
        return;
    }
    if (const auto type = type_of_bare(route, stream, head.status, body_begin); !type.empty()) {
        head.fields.set("Content-Type", type);
    }
}

} // namespace herd::proxy
