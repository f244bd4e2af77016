// Anthropic's shape: {"type":"error","error":{type,message}}, as a whole body or as the event "error".
#include "proxy/dialect/dialect.hpp"
#include "proxy/json_reader.hpp"

namespace herd::proxy::anthropic {
namespace {

std::string_view type_of(int status)
{
    switch (status) {
    case 400:
    case 413:
    case 414:
    case 415:
    case 431: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return "api_error";
    }
}

std::string object(const Problem& problem)
{
    std::string out = "{\"type\":\"error\",\"error\":{\"type\":\"";
    out.append(type_of(problem.status)).append("\",\"message\":");
    append_quoted(out, problem.message);
    return out.append("}}");
}

} // namespace

ErrorText error_text(const Problem& problem)
{
    return {object(problem), "application/json"};
}

std::string in_band_error(const Problem& problem, bool fresh_line)
{
    std::string out(fresh_line ? "" : "\n\n");
    return out.append("event: error\ndata: ").append(object(problem)).append("\n\n");
}

} // namespace herd::proxy::anthropic
