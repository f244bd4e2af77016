#include "proxy/stream_tail.hpp"

#include "proxy/json_reader.hpp"

#include <charconv>
#include <cstring>
#include <optional>

namespace herd::proxy {
namespace {

std::string_view without_line_ends(std::string_view text)
{
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    return text;
}

/// The last line that is not empty; `whole` tells whether its beginning is there too.
std::string_view last_line(std::string_view text, bool text_is_all, bool& whole)
{
    text = without_line_ends(text);
    const auto before = text.rfind('\n');
    whole = before != text.npos || text_is_all;
    return before == text.npos ? text : text.substr(before + 1);
}

/// The integer behind the last `"name":` of the text. Inside a JSON string those quotes would be escaped, so
/// a prompt cannot fake it.
std::optional<std::int64_t> last_number(std::string_view text, std::string_view quoted_name)
{
    const auto at = text.rfind(quoted_name);
    if (at == text.npos) {
        return std::nullopt;
    }
    auto rest = text.substr(at + quoted_name.size());
    while (!rest.empty() && rest.front() == ' ') {
        rest.remove_prefix(1);
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{} || value < 0) {
        return std::nullopt;
    }
    return value;
}

TailEnd ndjson_end(std::string_view line, bool whole, StreamKind kind)
{
    if (!whole) { // a last line longer than what is kept: its metrics stand at its end
        return kind == StreamKind::ndjson_done && line.ends_with('}') && line.rfind("\"done\":true") != line.npos
                   ? TailEnd::proper
                   : TailEnd::open;
    }
    JsonReader reader(line);
    if (reader.kind() != JsonReader::Kind::object || !reader.enter()) {
        return TailEnd::open;
    }
    bool proper = false;
    bool error = false;
    while (const auto key = reader.next_key()) {
        const auto value = reader.skip();
        if (kind == StreamKind::ndjson_done && *key == "done") {
            proper = value == "true";
        } else if (kind == StreamKind::ndjson_success && *key == "status") {
            proper = value == "\"success\"";
        } else if (*key == "error") {
            error = true;
        }
    }
    if (reader.broken()) {
        return TailEnd::open;
    }
    return error ? TailEnd::error : proper ? TailEnd::proper : TailEnd::open;
}

bool has_event(std::string_view text, std::string_view type)
{
    const auto quoted_type = std::string("\"type\":\"").append(type).append("\"");
    const auto event = std::string("event: ").append(type).append("\n");
    return text.rfind(quoted_type) != text.npos || text.rfind(event) != text.npos;
}

TailEnd sse_end(std::string_view text, StreamKind kind)
{
    const auto body = without_line_ends(text);
    const auto last_event = body.rfind("\n\n");
    const auto event = last_event == body.npos ? body : body.substr(last_event + 2);
    if (event.starts_with("event: error\n") || event.starts_with("data: {\"error\"")) {
        return TailEnd::error;
    }
    if (!text.ends_with("\n\n") && !text.ends_with("\r\n\r\n")) {
        return TailEnd::open;
    }
    switch (kind) {
    case StreamKind::sse_done:
        return body.ends_with("data: [DONE]") || body.ends_with("data:[DONE]") ? TailEnd::proper : TailEnd::open;
    case StreamKind::sse_message: return has_event(event, "message_stop") ? TailEnd::proper : TailEnd::open;
    case StreamKind::sse_response:
        if (has_event(event, "response.failed")) {
            return TailEnd::error;
        }
        return has_event(event, "response.completed") || has_event(event, "response.incomplete") ? TailEnd::proper
                                                                                               : TailEnd::open;
    default: return TailEnd::proper;
    }
}

} // namespace

void StreamTail::feed(std::span<const std::string_view> pieces)
{
    for (auto piece : pieces) {
        bytes_ += piece.size();
        if (piece.size() >= kept) {
            piece.remove_prefix(piece.size() - kept);
            begin_ = end_ = 0;
        } else if (end_ + piece.size() > buffer_.size()) {
            const auto keep = std::min(end_ - begin_, kept);
            std::memmove(buffer_.data(), buffer_.data() + end_ - keep, keep);
            begin_ = 0;
            end_ = keep;
        }
        if (!piece.empty()) {
            std::memcpy(buffer_.data() + end_, piece.data(), piece.size());
            end_ += piece.size();
        }
        if (end_ - begin_ > kept) {
            begin_ = end_ - kept;
        }
    }
}

bool StreamTail::at_event_end(StreamKind kind) const
{
    const auto last = text();
    if (last.empty()) {
        return true;
    }
    if (kind == StreamKind::ndjson_done || kind == StreamKind::ndjson_success) {
        return last.ends_with('\n');
    }
    return last.ends_with("\n\n") || last.ends_with("\r\n\r\n");
}

TailEnd StreamTail::end(StreamKind kind) const
{
    switch (kind) {
    case StreamKind::none: return TailEnd::proper;
    case StreamKind::ndjson_done:
    case StreamKind::ndjson_success: {
        bool whole = false;
        const auto line = last_line(text(), bytes_ <= end_ - begin_, whole);
        return ndjson_end(line, whole, kind);
    }
    default: return sse_end(text(), kind);
    }
}

fleet::Timings StreamTail::timings() const
{
    const auto last = text();
    fleet::Timings timings;
    const auto duration = [last](std::string_view name) {
        return base::Duration(last_number(last, name).value_or(0));
    };
    timings.total = duration("\"total_duration\":");
    timings.load = duration("\"load_duration\":");
    timings.prompt_eval = duration("\"prompt_eval_duration\":");
    timings.eval = duration("\"eval_duration\":");
    const auto count = [last](std::initializer_list<std::string_view> names) -> std::int64_t {
        for (const auto name : names) {
            if (const auto value = last_number(last, name)) {
                return *value;
            }
        }
        return 0;
    };
    timings.prompt_tokens = count({"\"prompt_eval_count\":", "\"prompt_tokens\":", "\"input_tokens\":"});
    timings.output_tokens = count({"\"eval_count\":", "\"completion_tokens\":", "\"output_tokens\":"});
    return timings;
}

} // namespace herd::proxy
