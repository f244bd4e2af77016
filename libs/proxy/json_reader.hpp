#pragma once
// Walks over JSON text without building anything: where is a key, what is its value, skip the rest.
//
// It reads the way Go's decoder is read around: the first value only, whatever follows is ignored; bytes
// that are not UTF-8 pass. It does not judge grammar: commas may be missing, brackets may mismatch. That is
// the point: a body that Ollama would refuse goes to an Ollama and is refused there, in its own words. A
// body that Ollama would take is read here the same way. Strings are skipped with memchr, so an image costs
// next to nothing, and no memory at all is needed (an index of the text would cost several times its size).
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
    /// The same; adds the bytes of the text in it to `bytes`: of all strings that are no keys and no data
    /// (images, URLs, "data:…").
    std::string_view skip_counting(std::size_t& bytes);
    /// The string that comes next, as written between its quotes. Requires kind() == string.
    std::string_view string();

    /// The text ended inside a value, or something impossible came.
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::size_t position() const { return at_; }

    /// Turns the inside of a JSON string into what it means. Lone surrogates become U+FFFD, as in Go.
    /// False: a bad escape, or longer than `limit` bytes.
    [[nodiscard]] static bool unescape(std::string_view written, std::string& out, std::size_t limit = 4096);
    /// What a key means, in lower case, for comparing regardless of ASCII case. Empty when that is longer than
    /// `space`, or nothing. The view is into `space`.
    [[nodiscard]] static std::string_view lower_key(std::string_view written, std::span<char> space);

private:
    std::string_view skip_nested(std::size_t* bytes);
    void space();
    std::string_view fail();
    std::string_view text_;
    std::size_t at_{0};
    bool broken_{false};
};

/// `text` as a JSON string, quotes included; control characters and broken UTF-8 are escaped or replaced.
void append_quoted(std::string& out, std::string_view text);
[[nodiscard]] std::string json_quoted(std::string_view text);

} // namespace herd::proxy
