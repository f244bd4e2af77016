#include "proxy/dialect/dialect.hpp"

namespace herd::proxy {

ErrorText error_text(Dialect dialect, const Problem& problem)
{
    switch (dialect) {
    case Dialect::openai: return openai::error_text(problem);
    case Dialect::anthropic: return anthropic::error_text(problem);
    case Dialect::ollama: break;
    }
    return ollama::error_text(problem);
}

std::string in_band_error(StreamKind kind, const Problem& problem, bool fresh_line)
{
    switch (kind) {
    case StreamKind::ndjson_done:
    case StreamKind::ndjson_success:
    case StreamKind::ndjson_other: return ollama::in_band_error(problem, fresh_line);
    case StreamKind::sse_done:
    case StreamKind::sse_other: return openai::in_band_error(problem, fresh_line);
    case StreamKind::sse_response: return openai::in_band_response_error(problem, fresh_line);
    case StreamKind::sse_message: return anthropic::in_band_error(problem, fresh_line);
    case StreamKind::none: break;
    }
    return {};
}

} // namespace herd::proxy
