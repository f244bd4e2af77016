#pragma once
// Verbatim pieces of a JSON text that a real parser has already accepted. The rows of /api/tags and /api/ps
// pass through herd byte for byte, unknown members included; a parsed tree could not give them back so.
#include <algorithm>
#include <cstddef>
#include <string_view>

namespace herd::discovery::internal {

/// Walks text known to be well-formed JSON; on anything else it ends early, it never leaves the text.
class JsonCursor {
public:
    explicit JsonCursor(std::string_view text) : text_(text) {}

    /// True when the next character is `c`, which is then behind us.
    bool eat(char c)
    {
        skip_space();
        if (at_ < text_.size() && text_[at_] == c) {
            ++at_;
            return true;
        }
        return false;
    }
    /// The next value, as written.
    std::string_view value()
    {
        skip_space();
        const std::size_t begin = at_;
        if (at_ < text_.size() && text_[at_] == '"') {
            skip_string();
        } else if (at_ < text_.size() && (text_[at_] == '{' || text_[at_] == '[')) {
            skip_nested();
        } else {
            at_ = std::min(text_.find_first_of(",:]} \t\n\r", at_), text_.size());
        }
        return text_.substr(begin, at_ - begin);
    }

private:
    static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
    void skip_nested()
    {
        for (int depth = 0; at_ < text_.size();) {
            const char c = text_[at_];
            if (c == '"') {
                skip_string();
                continue;
            }
            ++at_;
            if (c == '{' || c == '[') {
                ++depth;
            } else if ((c == '}' || c == ']') && --depth == 0) {
                return;
            }
        }
    }
    void skip_space()
    {
        while (at_ < text_.size() && is_space(text_[at_])) {
            ++at_;
        }
    }
    void skip_string()
    {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\') {
                ++at_;
            }
        }
        at_ = std::min(at_ + 1, text_.size());
    }
    std::string_view text_;
    std::size_t at_{0};
};

/// Calls `visit(key, raw value)` for each member; the key is as written, without its quotes.
template <class Visit>
void each_member(std::string_view object, Visit&& visit)
{
    JsonCursor cursor(object);
    if (!cursor.eat('{')) {
        return;
    }
    do {
        const std::string_view key = cursor.value();
        if (key.size() < 2 || !cursor.eat(':')) {
            return;
        }
        visit(key.substr(1, key.size() - 2), cursor.value());
    } while (cursor.eat(','));
}

/// Calls `visit(raw value)` for each element.
template <class Visit>
void each_element(std::string_view array, Visit&& visit)
{
    JsonCursor cursor(array);
    if (!cursor.eat('[') || cursor.eat(']')) {
        return;
    }
    do {
        visit(cursor.value());
    } while (cursor.eat(','));
}

} // namespace herd::discovery::internal
