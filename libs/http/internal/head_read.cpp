#include "http/internal/head_read.hpp"

#include "base/text.hpp"
#include "http/internal/grammar.hpp"

#include <algorithm>

#include <llhttp.h>

namespace herd::http::internal {

namespace {

// An answer's head is moved on to the client's side, where a relay adds something of its own.
constexpr std::size_t room_to_add = 256;
constexpr std::size_t fields_to_add = 8;

std::unexpected<base::Error> malformed(std::string why) { return base::fail(base::Errc::malformed, std::move(why)); }

/// What llhttp reports, as views into the head.
struct Reading {
    Fields* fields;
    const char* begin; // of the head, a copy of which the fields have
    std::string_view url{};
    std::string_view status{};
    std::string_view name{};
    std::string_view value{};
    bool open{false}; // a name was seen whose value is not complete

    void grow(std::string_view& text, const char* at, std::size_t length) const
    {
        // One buffer holds the whole head, so pieces of one text, if there are several, touch.
        text = text.empty() ? std::string_view(at, length)
                            : std::string_view(text.data(), static_cast<std::size_t>(at + length - text.data()));
    }
    void close()
    {
        if (open) {
            fields->mark(begin, name, base::trim(value));
            name = value = {};
            open = false;
        }
    }
};

Reading& reading(llhttp_t* parser) { return *static_cast<Reading*>(parser->data); }

int on_url(llhttp_t* parser, const char* at, std::size_t length)
{
    reading(parser).grow(reading(parser).url, at, length);
    return 0;
}
int on_status(llhttp_t* parser, const char* at, std::size_t length)
{
    reading(parser).grow(reading(parser).status, at, length);
    return 0;
}
int on_field(llhttp_t* parser, const char* at, std::size_t length)
{
    Reading& r = reading(parser);
    if (!r.value.empty()) {
        r.close();
    }
    r.grow(r.name, at, length);
    r.open = true;
    return 0;
}
int on_value(llhttp_t* parser, const char* at, std::size_t length)
{
    reading(parser).grow(reading(parser).value, at, length);
    return 0;
}
int on_value_complete(llhttp_t* parser)
{
    reading(parser).close();
    return 0;
}
int on_complete(llhttp_t* /*parser*/) { return HPE_PAUSED; }

const llhttp_settings_t& settings()
{
    static const llhttp_settings_t made = [] {
        llhttp_settings_t s;
        llhttp_settings_init(&s);
        s.on_url = on_url;
        s.on_status = on_status;
        s.on_header_field = on_field;
        s.on_header_value = on_value;
        s.on_header_value_complete = on_value_complete;
        s.on_headers_complete = on_complete;
        return s;
    }();
    return made;
}

/// Runs llhttp over the head. Nothing lenient is ever switched on.
base::Result<void> run(llhttp_t& parser, llhttp_type type, std::string_view bytes, Reading& into)
{
    llhttp_init(&parser, type, &settings());
    parser.data = &into;
    const llhttp_errno_t result = llhttp_execute(&parser, bytes.data(), bytes.size());
    if (result == HPE_INVALID_METHOD) {
        return base::fail(base::Errc::unsupported, "method");
    }
    if (result != HPE_PAUSED) {
        return malformed(llhttp_errno_name(result));
    }
    return {};
}

struct Lengths {
    std::size_t lengths{0}, encodings{0};
    std::string_view length{}, encoding{};
};

Lengths lengths_of(const Fields& fields)
{
    Lengths found;
    if (!fields.may_have("content-length") && !fields.may_have("transfer-encoding")) {
        return found;
    }
    for (const Field field : fields) {
        if (field.name.size() == 14 && base::iequals(field.name, "content-length")) {
            ++found.lengths;
            found.length = field.value;
        } else if (field.name.size() == 17 && base::iequals(field.name, "transfer-encoding")) {
            ++found.encodings;
            found.encoding = field.value;
        }
    }
    return found;
}

/// Content-Length and Transfer-Encoding, never both, never twice, never anything but plain "chunked".
template <class Head>
base::Result<void> decide_framing(Head& head)
{
    const Lengths found = lengths_of(head.fields);
    if (found.encodings != 0) {
        if (found.lengths != 0) {
            return malformed("Content-Length with Transfer-Encoding");
        }
        if (found.encodings != 1 || !base::iequals(found.encoding, "chunked") || head.minor == 0) {
            return malformed("Transfer-Encoding");
        }
        head.framing = Framing::chunked;
        return {};
    }
    if (found.lengths == 0) {
        return {};
    }
    const auto length = found.length.size() <= 18 ? base::parse_unsigned(found.length) : std::nullopt;
    if (found.lengths != 1 || !length) {
        return malformed("Content-Length");
    }
    head.framing = Framing::length;
    head.content_length = *length;
    return {};
}

bool stays_alive(const Fields& fields, int minor)
{
    bool close = false;
    bool keep = minor >= 1;
    if (!fields.may_have("connection")) {
        return keep;
    }
    for (const Field field : fields) {
        if (field.name.size() == 10 && base::iequals(field.name, "connection")) {
            for (const std::string_view option : base::split_list(field.value)) {
                close = close || base::iequals(option, "close");
                keep = keep || base::iequals(option, "keep-alive");
            }
        }
    }
    return keep && !close;
}

base::Result<void> check_host(const RequestHead& head)
{
    const std::size_t hosts = head.fields.count("host");
    if (hosts > 1 || (hosts == 0 && head.minor == 1)) {
        return malformed("Host");
    }
    if (hosts == 1 && !is_host(*head.fields.find("host"))) {
        return malformed("Host");
    }
    return {};
}

/// The target goes on in origin form, its authority as Host. Where Host says something else the request is refused,
/// though RFC 9112 §3.2.2 would have us overlook it: what stands before us may have gone by Host, and would then have
/// let through a request for one name that we take for another. No client writes two names (§3.2 forbids it).
base::Result<void> take_absolute_form(RequestHead& head)
{
    const auto form = absolute_form(head.target);
    if (!form) {
        return malformed("target");
    }
    const auto host = head.fields.find("host");
    if (host && !same_authority(*form, *host)) {
        return malformed("Host");
    }
    if (!host) { // HTTP/1.0
        head.fields.set("Host", form->authority);
    }
    const bool of_server = form->rest.empty() && head.method == "OPTIONS"; // §3.2.4
    head.target = of_server ? "*" : (form->rest.starts_with('/') ? "" : "/") + std::string(form->rest);
    return {};
}

/// Upgrade is refused, but for one thing: several HTTP libraries (the JDK's, curl with --http2) offer
/// h2c on every plain request. RFC 9110 §7.8 lets a server ignore the offer, and then nothing is ambiguous.
base::Result<void> check_upgrade(const Fields& fields)
{
    if (fields.count("upgrade") == 0) {
        return {};
    }
    const auto offers = fields.list("upgrade");
    if (offers.size() == 1 && base::iequals(offers.front(), "h2c")) {
        return {};
    }
    return base::fail(base::Errc::unsupported, "upgrade");
}

} // namespace

base::Result<void> read_head(std::string_view bytes, std::size_t fields, RequestHead& head)
{
    Reading seen{.fields = &head.fields, .begin = bytes.data()};
    head.fields.reserve(bytes.size(), fields);
    head.fields.take(bytes);
    llhttp_t parser;
    if (auto ok = run(parser, HTTP_REQUEST, bytes, seen); !ok) {
        return ok;
    }
    seen.close();
    const auto method_end = bytes.find(' ');
    head.method = bytes.substr(0, method_end);
    head.target = bytes.substr(method_end + 1, bytes.find(' ', method_end + 1) - method_end - 1);
    head.minor = llhttp_get_http_minor(&parser);
    if (head.fields.size() != fields || seen.url != head.target) {
        return malformed("two readings");
    }
    if (head.method == "CONNECT") {
        return base::fail(base::Errc::unsupported, "method");
    }
    if (auto ok = decide_framing(head); !ok) {
        return ok;
    }
    if (auto ok = check_host(head); !ok) {
        return ok;
    }
    if (!head.target.starts_with('/') && head.target != "*") {
        if (auto ok = take_absolute_form(head); !ok) {
            return ok;
        }
    }
    if (auto ok = check_upgrade(head.fields); !ok) {
        return ok;
    }
    head.keep_alive = stays_alive(head.fields, head.minor);
    const auto expect = head.fields.find("expect");
    head.expects_continue = expect && head.minor == 1 && base::iequals(*expect, "100-continue");
    return {};
}

base::Result<void> read_head(std::string_view bytes, std::size_t fields, ResponseHead& head)
{
    Reading seen{.fields = &head.fields, .begin = bytes.data()};
    head.fields.reserve(bytes.size() + room_to_add, fields + fields_to_add);
    head.fields.take(bytes);
    llhttp_t parser;
    if (auto ok = run(parser, HTTP_RESPONSE, bytes, seen); !ok) {
        return ok;
    }
    seen.close();
    head.status = llhttp_get_status_code(&parser);
    head.reason = base::trim(seen.status);
    head.minor = llhttp_get_http_minor(&parser);
    if (head.fields.size() != fields) {
        return malformed("two readings");
    }
    if (head.status == 101) {
        return base::fail(base::Errc::unsupported, "upgrade");
    }
    head.framing = Framing::until_close;
    if (auto ok = decide_framing(head); !ok) {
        return ok;
    }
    if (head.status < 200 || head.status == 204 || head.status == 304) {
        head.framing = Framing::none;
        head.content_length = 0;
    }
    head.keep_alive = stays_alive(head.fields, head.minor) && head.framing != Framing::until_close;
    return {};
}

} // namespace herd::http::internal
