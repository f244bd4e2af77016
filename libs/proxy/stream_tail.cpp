#include "proxy/stream_tail.hpp"

#include "proxy/json_reader.hpp"

#include <algorithm>
#include <array>
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

/// The members that are looked for at the end of an answer.
enum Member : std::uint8_t {
    total_duration, load_duration, prompt_eval_duration, eval_duration, prompt_eval_count, eval_count,
    prompt_tokens, input_tokens, completion_tokens, output_tokens,
    done_reason, finish_reason, stop_reason, member_count,
};
constexpr std::array<std::string_view, member_count> member_names{
    "total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "prompt_eval_count", "eval_count",
    "prompt_tokens",  "input_tokens",  "completion_tokens",    "output_tokens",
    "done_reason",    "finish_reason", "stop_reason"};
constexpr unsigned ollama_metrics = 0x3F; // the first six: with all of them no other is of interest

std::optional<Member> member_of(std::string_view name)
{
    const auto if_it_is = [name](Member one) { return name == member_names[one] ? std::optional(one) : std::nullopt; };
    switch (name.size()) { // few are of one length, and those begin differently
    case 10: return if_it_is(eval_count);
    case 11: return if_it_is(name.front() == 'd' ? done_reason : stop_reason);
    case 12: return if_it_is(input_tokens);
    case 13:
        switch (name.front()) {
        case 'e': return if_it_is(eval_duration);
        case 'f': return if_it_is(finish_reason);
        case 'l': return if_it_is(load_duration);
        case 'o': return if_it_is(output_tokens);
        default: return if_it_is(prompt_tokens);
        }
    case 14: return if_it_is(total_duration);
    case 17: return if_it_is(name.front() == 'c' ? completion_tokens : prompt_eval_count);
    case 20: return if_it_is(prompt_eval_duration);
    default: return std::nullopt;
    }
}

/// Which name stands between quotes before `colon`. Inside a JSON string those quotes would be escaped, so
/// a prompt cannot fake it.
std::optional<Member> member_before(std::string_view text, std::size_t colon)
{
    // All of them end with "duration", "count", "tokens" or "reason".
    if (colon < 12 || text[colon - 1] != '"' || (text[colon - 2] != 'n' && text[colon - 2] != 't' && text[colon - 2] != 's')) {
        return std::nullopt;
    }
    constexpr std::size_t name_bytes_max = 20;
    const auto from = colon - 1 - std::min(colon - 1, name_bytes_max + 1);
    auto name = text.substr(from, colon - 1 - from);
    const void* const open = ::memrchr(name.data(), '"', name.size());
    if (open == nullptr) {
        return std::nullopt;
    }
    name.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(open) - name.data()) + 1);
    return member_of(name);
}

/// A word between quotes; empty where there is none, or no plain one.
std::string_view word_at(std::string_view rest)
{
    constexpr std::size_t word_bytes_max = 24;
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (!rest.starts_with('"')) {
        return {}; // null
    }
    rest.remove_prefix(1);
    const auto word = rest.substr(0, std::min(rest.find('"'), rest.size()));
    const bool plain = std::ranges::all_of(word, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    return plain && word.size() <= word_bytes_max && word.size() < rest.size() ? word : std::string_view{};
}

std::optional<std::int64_t> number_at(std::string_view rest)
{
    while (!rest.empty() && rest.front() == ' ') {
        rest.remove_prefix(1);
    }
    constexpr std::size_t digits_max = 18; // so it cannot overflow, and need not be looked at for each digit
    std::int64_t value = 0;
    std::size_t digits = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
        if (digits == digits_max) {
            return std::nullopt;
        }
        value = value * 10 + (rest[digits] - '0');
    }
    return digits > 0 ? std::optional(value) : std::nullopt;
}

TailEnd ndjson_end(std::string_view line, bool whole, StreamKind kind)
{
    if (!whole) {
        // A last line longer than what is kept: only the metrics at its end are left of it when, as
        // /api/generate does, it carries a long `context` between "done" and them.
        const bool last = line.rfind("\"done\":true") != line.npos || line.rfind("\"total_duration\":") != line.npos;
        return kind == StreamKind::ndjson_done && line.ends_with('}') && last ? TailEnd::proper : TailEnd::open;
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

TailEnd response_end(std::string_view text)
{
    if (has_event(text, "response.failed")) {
        return TailEnd::error;
    }
    return has_event(text, "response.completed") || has_event(text, "response.incomplete") ? TailEnd::proper : TailEnd::open;
}

/// The last event that is no comment, and what is before it.
std::string_view last_event_of(std::string_view& body)
{
    for (;;) {
        body = without_line_ends(body);
        const auto before = body.rfind("\n\n");
        const auto event = before == body.npos ? body : body.substr(before + 2);
        if (!event.starts_with(':') || before == body.npos) {
            return event;
        }
        body = body.substr(0, before);
    }
}

/// `noted`: the end that an event told whose beginning may be gone.
TailEnd sse_end(std::string_view text, StreamKind kind, TailEnd noted)
{
    auto body = text;
    const auto event = last_event_of(body);
    if (event.starts_with("event: error\n") || event.starts_with("data: {\"error\"")) {
        return TailEnd::error;
    }
    const bool done = body.ends_with("data: [DONE]") || body.ends_with("data:[DONE]");
    const bool whole = text.ends_with("\n\n") || text.ends_with("\r\n\r\n") || (done && text.ends_with('\n'));
    if (!whole) {
        return TailEnd::open;
    }
    switch (kind) {
    case StreamKind::sse_done: return done ? TailEnd::proper : TailEnd::open;
    case StreamKind::sse_message: return has_event(event, "message_stop") ? TailEnd::proper : TailEnd::open;
    case StreamKind::sse_response: return noted == TailEnd::open ? response_end(event) : noted;
    default: return TailEnd::proper;
    }
}

/// Of events that say no more than "there is more".
struct Ordinary {
    std::string_view end{};     ///< how they end; empty: such a stream has none
    std::string_view instead{}; ///< what is kept of one
};

Ordinary ordinary_of(StreamKind kind)
{
    switch (kind) {
    // Unescaped quotes inside a string would end it, so neither end can be part of a text.
    case StreamKind::ndjson_done: return {"\"done\":false}\n", "{\"done\":false}\n"};
    case StreamKind::sse_done: return {"\"finish_reason\":null}]}\n\n", "\n\n"};
    default: return {};
    }
}

} // namespace

void StreamTail::feed(std::span<const std::string_view> pieces)
{
    const auto ordinary = ordinary_of(expected_);
    for (const auto piece : pieces) {
        bytes_ += piece.size();
        if (!ordinary.end.empty() && piece.ends_with(ordinary.end)) {
            kept_ = ordinary.instead;
            all_ = false;
            ++ordinary_count_;
        } else {
            if (expected_ == StreamKind::sse_response) {
                note_last_event(piece);
            }
            keep(piece);
        }
    }
}

/// The last event of such a stream repeats the whole answer, and not every server says at its end what it is.
void StreamTail::note_last_event(std::string_view piece)
{
    constexpr std::size_t mark_bytes_max = 32;
    const auto note = [this](std::string_view where) {
        const auto told = response_end(where);
        last_event_ = told == TailEnd::open ? last_event_ : told;
    };
    note(piece);
    if (!kept_.empty()) { // a mark that lies in two pieces
        std::array<char, 2 * mark_bytes_max> seam{};
        const auto left = std::min(kept_.size(), mark_bytes_max);
        const auto right = std::min(piece.size(), mark_bytes_max);
        std::copy_n(kept_.end() - static_cast<std::ptrdiff_t>(left), left, seam.begin());
        std::copy_n(piece.begin(), right, seam.begin() + static_cast<std::ptrdiff_t>(left));
        note({seam.data(), left + right});
    }
}

void StreamTail::feed_whole(std::span<const std::string_view> pieces)
{
    const auto ordinary = ordinary_of(expected_);
    const bool plain = pieces.size() == 1 && bytes_ == 0 && (ordinary.end.empty() || !pieces.front().ends_with(ordinary.end));
    if (!plain) {
        feed(pieces);
        return;
    }
    const auto piece = pieces.front();
    if (expected_ == StreamKind::sse_response) {
        note_last_event(piece);
    }
    bytes_ = piece.size();
    all_ = piece.size() <= kept_max;
    whole_ = piece.substr(piece.size() - std::min(piece.size(), kept_max));
}

void StreamTail::keep(std::string_view piece)
{
    if (piece.size() >= kept_max) {
        all_ = all_ && kept_.empty() && piece.size() == kept_max;
        kept_ = piece.substr(piece.size() - kept_max);
        return;
    }
    if (const auto room = kept_max - kept_.size(); piece.size() > room) {
        kept_.erase(0, piece.size() - room);
        all_ = false;
    }
    kept_.append(piece);
}

bool StreamTail::at_event_end(StreamKind kind) const
{
    const auto last = text();
    if (last.empty()) {
        return true;
    }
    if (kind == StreamKind::ndjson_done || kind == StreamKind::ndjson_success || kind == StreamKind::ndjson_other) {
        return last.ends_with('\n');
    }
    return last.ends_with("\n\n") || last.ends_with("\r\n\r\n");
}

TailEnd StreamTail::end(StreamKind kind) const
{
    switch (kind) {
    case StreamKind::none:
    case StreamKind::ndjson_other:
    case StreamKind::sse_other: return TailEnd::proper;
    case StreamKind::ndjson_done:
    case StreamKind::ndjson_success: {
        bool whole = false;
        const auto line = last_line(text(), all_, whole);
        return ndjson_end(line, whole, kind);
    }
    default: return sse_end(text(), kind, last_event_);
    }
}

StreamTail::Told StreamTail::told() const
{
    // Once over the text, from its end: the last place where a name stands is the one that counts.
    const auto last = text();
    Told told;
    auto& [timings, reason] = told;
    std::array<std::optional<std::int64_t>, done_reason> found{};
    unsigned seen = 0;
    for (std::size_t left = last.size(); (seen & ollama_metrics) != ollama_metrics || reason.empty();) {
        const void* at = ::memrchr(last.data(), ':', left); // many times faster than rfind()
        if (at == nullptr) {
            break;
        }
        left = static_cast<std::size_t>(static_cast<const char*>(at) - last.data());
        const auto member = member_before(last, left);
        if (!member) {
            continue;
        }
        const auto value = last.substr(left + 1);
        if (*member >= done_reason) {
            reason = reason.empty() ? word_at(value) : reason;
        } else if ((seen & (1U << *member)) == 0 && (seen & ollama_metrics) != ollama_metrics) {
            seen |= 1U << *member;
            found[*member] = number_at(value);
        }
    }
    const auto first_of = [&found](std::initializer_list<Member> members) -> std::int64_t {
        for (const auto member : members) {
            if (found[member]) {
                return *found[member];
            }
        }
        return 0;
    };
    timings.total = base::Duration(first_of({total_duration}));
    timings.load = base::Duration(first_of({load_duration}));
    timings.prompt_eval = base::Duration(first_of({prompt_eval_duration}));
    timings.eval = base::Duration(first_of({eval_duration}));
    timings.prompt_tokens = first_of({prompt_eval_count, prompt_tokens, input_tokens});
    timings.output_tokens = first_of({eval_count, completion_tokens, output_tokens});
    if (timings.output_tokens == 0) {
        timings.output_tokens = ordinary_count_;
    }
    return told;
}

} // namespace herd::proxy
