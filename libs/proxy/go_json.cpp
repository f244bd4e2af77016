#include "proxy/go_json.hpp"

#include <cstdint>
#include <vector>

namespace herd::proxy {
namespace {

constexpr std::size_t depth_max = 10000; // Go's own limit

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// A byte as Go's scanner quotes it.
std::string quote(char c)
{
    static constexpr std::string_view digits = "0123456789abcdef";
    if (c == '\'') {
        return "'\\''";
    }
    if (c == '"') {
        return "'\"'";
    }
    const auto byte = static_cast<unsigned char>(c);
    const auto with = [](std::string_view inside) { return std::string("'").append(inside).append("'"); };
    switch (c) {
    case '\\': return with("\\\\");
    case '\a': return with("\\a");
    case '\b': return with("\\b");
    case '\f': return with("\\f");
    case '\n': return with("\\n");
    case '\r': return with("\\r");
    case '\t': return with("\\t");
    case '\v': return with("\\v");
    default: break;
    }
    if (byte < 0x20 || byte == 0x7f) {
        return with(std::string("\\x") + digits[byte >> 4] + digits[byte & 15]);
    }
    if (byte < 0x80) {
        return with(std::string(1, c));
    }
    if (byte < 0xa0 || byte == 0xad) { // Go makes a rune of the single byte; these do not print
        return with(std::string("\\u00") + digits[byte >> 4] + digits[byte & 15]);
    }
    const std::string utf8{static_cast<char>(0xC0 | (byte >> 6)), static_cast<char>(0x80 | (byte & 0x3F))};
    return with(utf8);
}

/// A state machine after Go's scanner.go, one value deep at a time with an explicit stack.
class Checker {
public:
    explicit Checker(std::string_view text) : text_(text) {}

    std::string run()
    {
        space();
        if (at_ >= text_.size()) {
            return "EOF";
        }
        while (fault_.empty()) {
            value();
            if (!fault_.empty() || !after_value()) {
                break;
            }
        }
        return fault_;
    }

private:
    enum class In : std::uint8_t { object, array };

    void space()
    {
        while (at_ < text_.size() && is_space(text_[at_])) {
            ++at_;
        }
    }
    bool here()
    {
        if (at_ < text_.size()) {
            return true;
        }
        if (fault_.empty()) {
            fault_ = "unexpected EOF";
        }
        return false;
    }
    void bad(std::string_view context)
    {
        if (here()) {
            fault_ = "invalid character " + quote(text_[at_]) + " " + std::string(context);
        }
    }

    /// Opens brackets until a scalar, or an empty object or array, has been passed.
    void value()
    {
        for (;;) {
            space();
            if (!here()) {
                return;
            }
            const char c = text_[at_];
            if (c == '{' || c == '[') {
                if (stack_.size() >= depth_max) {
                    fault_ = "invalid character " + quote(c) + " exceeded max depth";
                    return;
                }
                ++at_;
                space();
                if (c == '{') {
                    if (at_ < text_.size() && text_[at_] == '}') {
                        ++at_;
                        return;
                    }
                    stack_.push_back(In::object);
                    if (!key()) {
                        return;
                    }
                } else {
                    if (at_ < text_.size() && text_[at_] == ']') {
                        ++at_;
                        return;
                    }
                    stack_.push_back(In::array);
                }
                continue;
            }
            scalar(c);
            return;
        }
    }

    bool key()
    {
        space();
        if (!here()) {
            return false;
        }
        if (text_[at_] != '"') {
            bad("looking for beginning of object key string");
            return false;
        }
        string();
        space();
        if (!fault_.empty() || !here()) {
            return false;
        }
        if (text_[at_] != ':') {
            bad("after object key");
            return false;
        }
        ++at_;
        return true;
    }

    /// Closes brackets; true when another value follows.
    bool after_value()
    {
        while (!stack_.empty()) {
            space();
            if (!here()) {
                return false;
            }
            const bool object = stack_.back() == In::object;
            if (text_[at_] == ',') {
                ++at_;
                return object ? key() : true;
            }
            if (text_[at_] != (object ? '}' : ']')) {
                bad(object ? "after object key:value pair" : "after array element");
                return false;
            }
            ++at_;
            stack_.pop_back();
        }
        return false;
    }

    void scalar(char c)
    {
        if (c == '"') {
            string();
        } else if (c == '-' || is_digit(c)) {
            number();
        } else if (c == 't') {
            literal("true");
        } else if (c == 'f') {
            literal("false");
        } else if (c == 'n') {
            literal("null");
        } else {
            bad("looking for beginning of value");
        }
    }

    void literal(std::string_view word)
    {
        for (const char expected : word) {
            if (!here()) {
                return;
            }
            if (text_[at_] != expected) {
                bad("in literal " + std::string(word) + " (expecting " + quote(expected) + ")");
                return;
            }
            ++at_;
        }
    }

    void number()
    {
        if (text_[at_] == '-') {
            ++at_;
            if (!here()) {
                return;
            }
            if (!is_digit(text_[at_])) {
                bad("in numeric literal");
                return;
            }
        }
        if (text_[at_] == '0') {
            ++at_;
        } else {
            digits();
        }
        if (at_ < text_.size() && text_[at_] == '.') {
            ++at_;
            if (!some_digits("after decimal point in numeric literal")) {
                return;
            }
        }
        if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
            ++at_;
            if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) {
                ++at_;
            }
            some_digits("in exponent of numeric literal");
        }
    }
    void digits()
    {
        while (at_ < text_.size() && is_digit(text_[at_])) {
            ++at_;
        }
    }
    bool some_digits(std::string_view context)
    {
        if (!here() || !is_digit(text_[at_])) {
            bad(context);
            return false;
        }
        digits();
        return true;
    }

    void string()
    {
        ++at_;
        while (here()) {
            const char c = text_[at_];
            if (c == '"') {
                ++at_;
                return;
            }
            if (static_cast<unsigned char>(c) < 0x20) {
                bad("in string literal");
                return;
            }
            ++at_;
            if (c == '\\' && !escape()) {
                return;
            }
        }
    }
    bool escape()
    {
        if (!here()) {
            return false;
        }
        if (text_[at_] == 'u') {
            ++at_;
            for (int i = 0; i < 4; ++i, ++at_) {
                if (!here() || !is_hex(text_[at_])) {
                    bad("in \\u hexadecimal character escape");
                    return false;
                }
            }
            return true;
        }
        if (std::string_view("bfnrt\\/\"").find(text_[at_]) == std::string_view::npos) {
            bad("in string escape code");
            return false;
        }
        ++at_;
        return true;
    }

    std::string_view text_;
    std::size_t at_{0};
    std::string fault_;
    std::vector<In> stack_;
};

} // namespace

std::string go_json_fault(std::string_view text) { return Checker(text).run(); }

} // namespace herd::proxy
