#pragma once
// Walks over JSON text without building anything: where is a key, what is its value, skip the rest.
//
// It reads the way Go's decoder is read around: the first value only, whatever follows is ignored; bytes
// that are not UTF-8 pass. It does not judge grammar: commas may be missing, brackets may mismatch. That is
// the point: a body that Ollama would refuse goes to an Ollama and is refused there, in its own words. A
// body that Ollama would take is read here the same way. Strings are skipped with memchr, so an image costs
// next to nothing, and no memory at all is needed (an index of the text would cost several times its size).
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace herd::proxy {

/// Views returned point into the text. Thread: any; pure.
class JsonReader {
public:
    enum class Kind : std::uint8_t { object, array, string, number, boolean, null, nothing };

    explicit JsonReader(std::string_view text) : text_(text) {}

    /// Of the value that comes next; nothing at the end or at garbage.
    [[nodiscard]] Kind kind();

    /// Steps into the object or array that comes next; false when something else comes.
    bool enter();
    /// Inside an object: steps to the value of the next member and returns its key, as written between the
    /// quotes. Nothing: the object ended (and was left), or the text broke.
    [[nodiscard]] std::optional<std::string_view> next_key();
    /// Inside an array: true when another element comes; false when it ended (and was left), or broke.
    [[nodiscard]] bool next_element();

    /// Steps over the next value and returns it as written.
    std::string_view skip();
    /// The same for whatever stands in it, in one pass: `visitor` hears key(inside, depth), string(inside) and
    /// scalar(text) in order, and close(depth) when an object or array ends; depth 1 is the value itself.
    template <class Visitor>
    std::string_view walk(Visitor& visitor);
    /// The string that comes next, as written between its quotes. Requires kind() == string.
    std::string_view string();

    /// The text ended inside a value, or something impossible came.
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::size_t position() const { return at_; }

    /// Turns the inside of a JSON string into what it means. Lone surrogates become U+FFFD, as in Go.
    /// False: a bad escape, or longer than `limit` bytes.
    [[nodiscard]] static bool unescape(std::string_view written, std::string& out, std::size_t limit = 4096);
    /// What the escape at written[i] (a backslash) means; `i` moves behind it. Empty: a bad one.
    [[nodiscard]] static std::string_view escape(std::string_view written, std::size_t& i, std::array<char, 4>& space);
    /// What a key means, in lower case, for comparing regardless of ASCII case. Empty when that is longer than
    /// `space`, or nothing. The view is into `written` or into `space`.
    [[nodiscard]] static std::string_view lower_key(std::string_view written, std::span<char> space);

private:
    std::string_view skip_nested();
    void space();
    std::string_view fail();
    std::string_view text_;
    std::size_t at_{0};
    bool broken_{false};
};

template <class Visitor>
std::string_view JsonReader::walk(Visitor& visitor)
{
    space();
    const auto start = at_;
    std::size_t depth = 0;
    while (at_ < text_.size()) {
        const char c = text_[at_];
        switch (c) {
        case '"': {
            const auto inside = string();
            if (broken_) {
                return {};
            }
            if (at_ < text_.size() && text_[at_] != ':') {
                space();
            }
            if (depth > 0 && at_ < text_.size() && text_[at_] == ':') {
                visitor.key(inside, depth);
                break; // over the colon
            }
            visitor.string(inside);
            if (depth == 0) {
                return text_.substr(start, at_ - start);
            }
            continue;
        }
        case '{':
        case '[': ++depth; break;
        case '}':
        case ']':
            if (depth == 0) {
                return fail();
            }
            visitor.close(depth);
            if (--depth == 0) {
                ++at_;
                return text_.substr(start, at_ - start);
            }
            break;
        case ',':
        case ':':
        case ' ':
        case '\t':
        case '\n':
        case '\r': break;
        default: {
            if (kind() == Kind::nothing) { // begins no value: stepped over inside of one
                if (depth == 0) {
                    return fail();
                }
                break;
            }
            const auto scalar = skip();
            visitor.scalar(scalar);
            if (depth == 0) {
                return scalar;
            }
            continue;
        }
        }
        ++at_;
    }
    return fail();
}

/// `text` as a JSON string, quotes included; control characters and broken UTF-8 are escaped or replaced.
void append_quoted(std::string& out, std::string_view text);
[[nodiscard]] std::string json_quoted(std::string_view text);

} // namespace herd::proxy
