// OpenAI's shape: {"error":{message,type,param,code}}, as a whole body or as one SSE event. The Responses
// API has an event named "error" for it. Ollama itself lets such streams end in silence.
#include "proxy/dialect/dialect.hpp"
#include "proxy/json_reader.hpp"

namespace herd::proxy::openai {
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
    default: return "api_error";
    }
}

std::string object(const Problem& problem)
{
    std::string out = "{\"error\":{\"message\":";
    append_quoted(out, problem.message);
    out.append(",\"type\":\"").append(type_of(problem.status)).append("\",\"param\":null,\"code\":");
    append_quoted(out, problem.code);
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
    return out.append("data: ").append(object(problem)).append("\n\n");
}

std::string in_band_response_error(const Problem& problem, bool fresh_line)
{
    std::string out(fresh_line ? "" : "\n\n");
    out.append("event: error\ndata: {\"type\":\"error\",\"code\":");
    append_quoted(out, problem.code);
    out.append(",\"message\":");
    append_quoted(out, problem.message);
    return out.append(",\"param\":null}\n\n");
}

} // namespace herd::proxy::openai
