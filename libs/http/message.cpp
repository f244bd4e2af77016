#include "http/message.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"
#include "http/internal/serialize.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

namespace herd::http {

namespace {

bool inside(const std::string& block, std::string_view text)
{
    const std::less<const char*> before;
    return !text.empty() && !before(text.data(), block.data())
           && before(text.data(), block.data() + block.size());
}

/// Holds a CR, LF or NUL. One comparison for every byte of ordinary text.
bool breaks_lines(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) {
        return static_cast<unsigned char>(c) <= '\r' && (c == '\r' || c == '\n' || c == '\0');
    });
}

/// Fields that the framing of a message decides, never its sender's field list.
bool is_framing(std::string_view name)
{
    switch (name.size()) {
    case 10: return base::iequals(name, "connection") || base::iequals(name, "keep-alive");
    case 14: return base::iequals(name, "content-length");
    case 17: return base::iequals(name, "transfer-encoding");
    default: return false;
    }
}

void append_number(std::string& out, std::uint64_t number)
{
    std::array<char, 20> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out.append(digits.data(), end);
}

void append_length(std::uint64_t length, std::string& out)
{
    out.append("Content-Length: ");
    append_number(out, length);
    out.append("\r\n");
}

} // namespace

void Fields::reserve(std::size_t bytes, std::size_t fields)
{
    block_.reserve(bytes);
    spans_.reserve(fields);
}

void Fields::add(std::string_view name, std::string_view value)
{
    HERD_ASSERT(!breaks_lines(name) && !breaks_lines(value));
    if (inside(block_, name) || inside(block_, value)) {
        const std::string own_name(name); // the block may move while it grows
        const std::string own_value(value);
        append(own_name, own_value);
        return;
    }
    append(name, value);
}

void Fields::append(std::string_view name, std::string_view value)
{
    const auto at = block_.size();
    block_.resize_and_overwrite(at + name.size() + value.size() + 4, [&](char* block, std::size_t size) {
        char* out = std::copy_n(name.data(), name.size(), block + at);
        *out++ = ':';
        *out++ = ' ';
        out = std::copy_n(value.data(), value.size(), out);
        *out++ = '\r';
        *out++ = '\n';
        return size;
    });
    const auto name_size = static_cast<std::uint32_t>(name.size());
    const auto begin = static_cast<std::uint32_t>(at);
    spans_.push_back({begin, name_size, begin + name_size + 2, static_cast<std::uint32_t>(value.size())});
    lengths_ |= bit_of(name.size());
}

void Fields::take(std::string_view head)
{
    HERD_ASSERT(spans_.empty());
    block_ = head;
}

void Fields::mark(const char* head, std::string_view name, std::string_view value)
{
    const auto at = static_cast<std::uint32_t>(name.data() - head);
    const auto name_size = static_cast<std::uint32_t>(name.size());
    const auto value_at = value.empty() ? at + name_size : static_cast<std::uint32_t>(value.data() - head);
    HERD_ASSERT(at + name_size <= block_.size() && value_at + value.size() <= block_.size());
    spans_.push_back({at, name_size, value_at, static_cast<std::uint32_t>(value.size())});
    lengths_ |= bit_of(name.size());
}

/// "name: value" and the end of the line, side by side.
bool Fields::is_line(const Span& span) const
{
    const std::size_t end = std::size_t{span.value_at} + span.value_length;
    const char* colon = block_.data() + span.name_at + span.name_length;
    return span.value_at == span.name_at + span.name_length + 2 && end + 2 <= block_.size() && colon[0] == ':'
           && colon[1] == ' ' && block_[end] == '\r' && block_[end + 1] == '\n';
}

void Fields::write(std::string& out) const
{
    std::size_t begin = 0; // of lines that follow each other in the block, and leave together
    std::size_t end = 0;
    for (const Span& span : spans_) {
        const std::string_view name(block_.data() + span.name_at, span.name_length);
        if (is_framing(name)) {
            continue;
        }
        const bool line = is_line(span);
        if (line && span.name_at == end) {
            end = std::size_t{span.value_at} + span.value_length + 2;
            continue;
        }
        out.append(block_, begin, end - begin);
        begin = end = 0;
        if (line) {
            begin = span.name_at;
            end = std::size_t{span.value_at} + span.value_length + 2;
        } else {
            out.append(name).append(": ").append(block_, span.value_at, span.value_length).append("\r\n");
        }
    }
    out.append(block_, begin, end - begin);
}

void Fields::keep_if(bool (*keep)(std::string_view name))
{
    std::erase_if(spans_, [&](const Span& span) {
        return !keep({block_.data() + span.name_at, span.name_length});
    });
}

void Fields::set(std::string_view name, std::string_view value)
{
    const std::string own_name(name);
    const std::string own_value(value);
    remove(own_name);
    add(own_name, own_value);
}

void Fields::remove(std::string_view name)
{
    std::erase_if(spans_, [&](const Span& span) { return is_named(span, name); });
}

void Fields::clear()
{
    block_.clear();
    spans_.clear();
    lengths_ = 0;
}

std::optional<std::string_view> Fields::find(std::string_view name) const
{
    if (!may_have(name)) {
        return std::nullopt;
    }
    for (const Span& span : spans_) {
        if (is_named(span, name)) {
            return std::string_view{block_.data() + span.value_at, span.value_length};
        }
    }
    return std::nullopt;
}

std::size_t Fields::count(std::string_view name) const
{
    std::size_t found = 0;
    if (!may_have(name)) {
        return found;
    }
    for (const Span& span : spans_) {
        found += is_named(span, name) ? 1 : 0;
    }
    return found;
}

bool Fields::is_named(const Span& span, std::string_view name) const
{
    return span.name_length == name.size() && base::iequals({block_.data() + span.name_at, span.name_length}, name);
}

std::vector<std::string_view> Fields::list(std::string_view name) const
{
    std::vector<std::string_view> values;
    if (!may_have(name)) {
        return values;
    }
    for (const Field field : *this) {
        if (field.name.size() == name.size() && base::iequals(field.name, name)) {
            const auto pieces = base::split_list(field.value);
            values.insert(values.end(), pieces.begin(), pieces.end());
        }
    }
    return values;
}

Field Fields::at(std::size_t index) const
{
    HERD_ASSERT(index < spans_.size());
    return of(spans_[index]);
}

std::string_view RequestHead::path() const { return std::string_view(target).substr(0, target.find('?')); }

std::string_view RequestHead::query() const
{
    const auto mark = target.find('?');
    return mark == std::string::npos ? std::string_view{} : std::string_view(target).substr(mark + 1);
}

std::string_view reason_phrase(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Request Entity Too Large";
    case 414: return "Request URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Requested Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Entity";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    default: return "Unknown";
    }
}

void serialize(const RequestHead& head, std::string& out)
{
    out.append(head.method).append(" ").append(head.target);
    out.append(head.minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    head.fields.write(out);
    if (head.framing == Framing::length) {
        append_length(head.content_length, out);
    } else if (head.framing == Framing::chunked) {
        out.append("Transfer-Encoding: chunked\r\n");
    }
    if (!head.keep_alive) {
        out.append("Connection: close\r\n");
    } else if (head.minor == 0) {
        out.append("Connection: keep-alive\r\n");
    }
    out.append("\r\n");
}

void serialize(const ResponseHead& head, std::string& out) { internal::serialize_response(head, {}, out); }

void internal::serialize_response(const ResponseHead& head, ResponseExtras extras, std::string& out)
{
    out.append(head.minor == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
    append_number(out, static_cast<std::uint64_t>(std::max(head.status, 0)));
    out.append(" ").append(head.reason.empty() ? reason_phrase(head.status) : std::string_view(head.reason));
    out.append("\r\n");
    head.fields.write(out);
    out.append(extras.lines);
    const bool bodiless = head.status < 200 || head.status == 204 || head.status == 304;
    if (head.framing == Framing::length && head.status >= 200 && head.status != 204) {
        append_length(head.content_length, out);
    } else if (head.framing == Framing::chunked && !bodiless) {
        out.append("Transfer-Encoding: chunked\r\n");
    } else if (head.framing == Framing::none && !bodiless && !extras.length_unknown) {
        // Without it the reader would take everything up to the end of the connection as the body.
        append_length(0, out);
    }
    if (!head.keep_alive) {
        out.append("Connection: close\r\n");
    } else if (extras.client_minor == 0 && head.status >= 200) {
        out.append("Connection: keep-alive\r\n");
    }
    out.append("\r\n");
}

} // namespace herd::http
