#include "proxy/json_reader.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cstring>

namespace herd::proxy {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int hex4(std::string_view text)
{
    if (text.size() < 4) {
        return -1;
    }
    int value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        const char c = text[i];
        int digit = 0;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        } else {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

std::size_t write_utf8(std::array<char, 4>& out, unsigned code)
{
    std::size_t used = 0;
    const auto put = [&](unsigned byte) { out[used++] = static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | (code >> 6));
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | (code >> 12));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | (code >> 18));
        put(0x80 | ((code >> 12) & 0x3F));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    }
    return used;
}

/// The code of \uXXXX (and its second half) at `i`, which stands behind the 'u'. Negative: not hexadecimal.
int escaped_code(std::string_view written, std::size_t& i)
{
    const int first = hex4(written.substr(i));
    if (first < 0) {
        return -1;
    }
    i += 4;
    if (first < 0xD800 || first >= 0xE000) {
        return first;
    }
    if (first < 0xDC00 && written.substr(i).starts_with("\\u")) {
        const int second = hex4(written.substr(i + 2));
        if (second >= 0xDC00 && second < 0xE000) {
            i += 6;
            return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
    }
    return 0xFFFD;
}

} // namespace

void JsonReader::space()
{
    while (at_ < text_.size() && is_space(text_[at_])) {
        ++at_;
    }
}

std::string_view JsonReader::fail()
{
    broken_ = true;
    at_ = text_.size();
    return {};
}

JsonReader::Kind JsonReader::kind()
{
    space();
    if (at_ >= text_.size()) {
        return Kind::nothing;
    }
    switch (text_[at_]) {
    case '{': return Kind::object;
    case '[': return Kind::array;
    case '"': return Kind::string;
    case 't':
    case 'f': return Kind::boolean;
    case 'n': return Kind::null;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return Kind::number;
    default: return Kind::nothing;
    }
}

bool JsonReader::enter()
{
    const auto next = kind();
    if (next != Kind::object && next != Kind::array) {
        return false;
    }
    ++at_;
    return true;
}

std::optional<std::string_view> JsonReader::next_key()
{
    space();
    if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        space();
    }
    if (at_ < text_.size() && text_[at_] == '}') {
        ++at_;
        return std::nullopt;
    }
    if (at_ >= text_.size() || text_[at_] != '"') {
        fail();
        return std::nullopt;
    }
    const auto key = string();
    space();
    if (broken_ || at_ >= text_.size() || text_[at_] != ':') {
        fail();
        return std::nullopt;
    }
    ++at_;
    return key;
}

bool JsonReader::next_element()
{
    space();
    if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        space();
    }
    if (at_ < text_.size() && text_[at_] == ']') {
        ++at_;
        return false;
    }
    if (kind() == Kind::nothing) {
        fail();
        return false;
    }
    return true;
}

std::string_view JsonReader::string()
{
    const auto start = at_ + 1; // behind the quote
    auto from = start;
    while (from < text_.size()) {
        const void* hit = std::memchr(text_.data() + from, '"', text_.size() - from);
        if (hit == nullptr) {
            break;
        }
        const auto quote = static_cast<std::size_t>(static_cast<const char*>(hit) - text_.data());
        std::size_t slashes = 0;
        while (quote - slashes > start && text_[quote - slashes - 1] == '\\') {
            ++slashes;
        }
        if (slashes % 2 == 0) {
            at_ = quote + 1;
            return text_.substr(start, quote - start);
        }
        from = quote + 1;
    }
    return fail();
}

std::string_view JsonReader::skip()
{
    const auto first = kind();
    const auto start = at_;
    if (first == Kind::nothing) {
        return fail();
    }
    if (first == Kind::string) {
        string();
        return broken_ ? std::string_view{} : text_.substr(start, at_ - start);
    }
    if (first != Kind::object && first != Kind::array) {
        while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != ',' && text_[at_] != '}'
               && text_[at_] != ']') {
            ++at_;
        }
        return text_.substr(start, at_ - start);
    }
    return skip_nested();
}

/// One pass, no stack: brackets are counted, strings are jumped over.
std::string_view JsonReader::skip_nested()
{
    struct Nothing {
        void key(std::string_view /*inside*/, std::size_t /*depth*/) {}
        void string(std::string_view /*inside*/) {}
        void scalar(std::string_view /*text*/) {}
        void close(std::size_t /*depth*/) {}
    } nothing;
    return walk(nothing);
}

std::string_view JsonReader::escape(std::string_view written, std::size_t& i, std::array<char, 4>& space)
{
    if (i + 1 >= written.size()) {
        return {};
    }
    std::size_t used = 1;
    switch (written[i + 1]) {
    case '"': space[0] = '"'; break;
    case '\\': space[0] = '\\'; break;
    case '/': space[0] = '/'; break;
    case 'b': space[0] = '\b'; break;
    case 'f': space[0] = '\f'; break;
    case 'n': space[0] = '\n'; break;
    case 'r': space[0] = '\r'; break;
    case 't': space[0] = '\t'; break;
    case 'u': {
        auto behind = i + 2;
        const int code = escaped_code(written, behind);
        if (code < 0) {
            return {};
        }
        i = behind - 2;
        used = write_utf8(space, static_cast<unsigned>(code));
        break;
    }
    default: return {};
    }
    i += 2;
    return {space.data(), used};
}

bool JsonReader::unescape(std::string_view written, std::string& out, std::size_t limit)
{
    if (written.find('\\') == written.npos) {
        out = written.substr(0, limit);
        return written.size() <= limit;
    }
    out.clear();
    std::array<char, 4> space{};
    std::size_t i = 0;
    while (i < written.size()) {
        if (out.size() > limit) {
            return false;
        }
        if (written[i] != '\\') {
            out.push_back(written[i++]);
            continue;
        }
        const auto meant = escape(written, i, space);
        if (meant.empty()) {
            return false;
        }
        out.append(meant);
    }
    return out.size() <= limit;
}

std::string_view JsonReader::lower_key(std::string_view written, std::span<char> space)
{
    const bool lower_already = std::ranges::none_of(written, [](char c) { return c == '\\' || (c >= 'A' && c <= 'Z'); });
    if (lower_already) { // as nearly all keys are
        return written.size() > space.size() ? std::string_view{} : written;
    }
    std::string meant;
    if (written.find('\\') != written.npos) {
        if (written.size() > space.size() * 6 || !unescape(written, meant)) {
            return {};
        }
        written = meant;
    }
    if (written.size() > space.size()) {
        return {};
    }
    std::size_t at = 0;
    for (const char c : written) {
        space[at++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return {space.data(), at};
}

void append_quoted(std::string& out, std::string_view text)
{
    static constexpr std::string_view digits = "0123456789abcdef";
    const bool utf8 = base::is_utf8(text);
    out.push_back('"');
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (c == '\n') {
            out.append("\\n");
        } else if (byte < 0x20 || byte == 0x7f) {
            out.append("\\u00").push_back(digits[byte >> 4]);
            out.push_back(digits[byte & 15]);
        } else if (byte >= 0x80 && !utf8) {
            out.append("\\ufffd");
        } else {
            out.push_back(c);
        }
    }
    out.push_back('"');
}

std::string json_quoted(std::string_view text)
{
    std::string out;
    out.reserve(text.size() + 2);
    append_quoted(out, text);
    return out;
}

} // namespace herd::proxy
