#include "answer_reader.hpp"

#include <algorithm>
#include <charconv>

#include <strings.h>

namespace herd::bench {

namespace {

constexpr std::size_t head_bytes_max = 16 * 1024;
constexpr std::uint64_t body_bytes_max = 1 << 20;

bool parse_number(std::string_view text, int base, std::uint64_t& value)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return error == std::errc{} && end == text.data() + text.size() && value <= body_bytes_max;
}

bool same_name(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace

void AnswerReader::reset()
{
    at_ = At::head;
    text_.clear();
    left_ = 0;
    closing_ = false;
}

AnswerReader::State AnswerReader::fail(std::string_view why, std::string_view what)
{
    error_.assign(why).append(": ").append(what.substr(0, 200));
    return State::bad;
}

/// True when text_ holds a whole line, without its end.
bool AnswerReader::take_line(std::string_view& bytes)
{
    const auto newline = bytes.find('\n');
    const auto count = newline == std::string_view::npos ? bytes.size() : newline + 1;
    text_.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    if (newline == std::string_view::npos) {
        return false;
    }
    const bool crlf = text_.ends_with("\r\n");
    text_.resize(text_.size() - (crlf ? 2 : 1));
    return true;
}

AnswerReader::State AnswerReader::parse_head()
{
    const std::string_view head = text_;
    if (!head.starts_with("HTTP/1.1 200 ")) {
        return fail("not a 200 answer", head);
    }
    bool chunked = false;
    bool counted = false;
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
        const auto end = std::min(head.find("\r\n", at), head.size());
        const auto line = head.substr(at, end - at);
        at = end + 2;
        const auto colon = line.find(':');
        if (line.empty() || colon == std::string_view::npos) {
            continue;
        }
        const auto name = line.substr(0, colon);
        auto value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
        if (same_name(name, "content-length")) {
            if (counted || !parse_number(value, 10, left_)) {
                return fail("bad length", line);
            }
            counted = true;
        } else if (same_name(name, "transfer-encoding")) {
            chunked = same_name(value, "chunked");
        } else if (same_name(name, "connection") && same_name(value, "close")) {
            closing_ = true;
        }
    }
    if (chunked == counted) {
        return fail("neither a length nor chunks, or both", head);
    }
    text_.clear();
    at_ = chunked ? At::chunk_size : At::counted;
    return State::more;
}

AnswerReader::State AnswerReader::step(std::string_view& bytes, std::string& body)
{
    switch (at_) {
    case At::head: {
        const auto before = text_.size();
        text_.append(bytes);
        const auto end = text_.find("\r\n\r\n", before > 3 ? before - 3 : 0);
        if (end == std::string::npos) {
            bytes = {};
            return text_.size() > head_bytes_max ? fail("head without end", text_) : State::more;
        }
        bytes.remove_prefix(end + 4 - before);
        text_.resize(end + 2);
        const State parsed = parse_head();
        return parsed == State::more && at_ == At::counted && left_ == 0 ? State::complete : parsed;
    }
    case At::counted:
    case At::chunk_data: {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
        body.append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        left_ -= count;
        if (left_ == 0) {
            if (at_ == At::counted) {
                return State::complete;
            }
            at_ = At::chunk_end;
        }
        return State::more;
    }
    case At::chunk_size:
        if (take_line(bytes)) {
            if (!parse_number(text_, 16, left_)) {
                return fail("bad chunk size", text_);
            }
            text_.clear();
            at_ = left_ == 0 ? At::trailer : At::chunk_data;
        }
        return State::more;
    case At::chunk_end:
        if (take_line(bytes)) {
            if (!text_.empty()) {
                return fail("bytes after a chunk", text_);
            }
            at_ = At::chunk_size;
        }
        return State::more;
    case At::trailer:
        if (take_line(bytes)) {
            return text_.empty() ? State::complete : fail("unexpected trailer", text_);
        }
        return State::more;
    }
    return State::bad;
}

AnswerReader::State AnswerReader::feed(std::string_view& bytes, std::string& body)
{
    while (!bytes.empty()) {
        if (const State state = step(bytes, body); state != State::more) {
            return state;
        }
    }
    return State::more;
}

} // namespace herd::bench
