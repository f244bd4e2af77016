// Ollama's own shape: {"error":"text"}, as a whole body or as the last line of NDJSON.
#include "proxy/dialect/dialect.hpp"
#include "proxy/json_reader.hpp"

namespace herd::proxy::ollama {

ErrorText error_text(const Problem& problem)
{
    return {"{\"error\":" + json_quoted(problem.message) + "}", "application/json; charset=utf-8"};
}

std::string in_band_error(const Problem& problem, bool fresh_line)
{
    std::string out(fresh_line ? "" : "\n");
    out.append("{\"error\":").append(json_quoted(problem.message)).append("}\n");
    return out;
}

} // namespace herd::proxy::ollama
