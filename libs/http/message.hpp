#pragma once
// Heads of HTTP/1.1 messages as plain values. Field names keep the sender's spelling (they are relayed);
// look-up ignores case.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::http {

struct Field {
    std::string_view name;
    std::string_view value;
};

/// Header fields in order of arrival, in one block of memory.
class Fields {
public:
    /// Requires: no CR, LF or NUL in either (our own fields; parsed ones were checked).
    void add(std::string_view name, std::string_view value);
    /// The same for bytes that were checked already and lie outside of this object: the parser's.
    void append(std::string_view name, std::string_view value);
    /// Takes over a whole head as it came, in one piece; mark() tells where the fields are in it.
    /// Requires: nothing was added.
    void take(std::string_view head);
    /// One more field. Both are views of what was given to take(), which began at `head`; the value may be empty.
    void mark(const char* head, std::string_view name, std::string_view value);
    /// Replaces all fields of that name by one.
    void set(std::string_view name, std::string_view value);
    void remove(std::string_view name);
    /// Keeps those whose name `keep` agrees to.
    void keep_if(bool (*keep)(std::string_view name));
    void clear();
    /// Makes room at once, where the number is known before.
    void reserve(std::size_t bytes, std::size_t fields);

    /// The first value of that name. Valid until the next change.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
    [[nodiscard]] std::size_t count(std::string_view name) const;
    /// All values of that name, comma-joined lists split and trimmed.
    [[nodiscard]] std::vector<std::string_view> list(std::string_view name) const;

    [[nodiscard]] std::size_t size() const { return spans_.size(); }
    /// Names and values together: what reserve() would have needed.
    [[nodiscard]] std::size_t bytes() const { return block_.size(); }
    [[nodiscard]] Field at(std::size_t index) const;
    /// False: no field has a name of that length, so none has that name.
    [[nodiscard]] bool may_have(std::string_view name) const { return (lengths_ & bit_of(name.size())) != 0; }
    /// Appends them as lines of a head, but for those that say how the message is framed.
    void write(std::string& out) const;

    class Iterator {
    public:
        Iterator(const Fields* fields, std::size_t index) : fields_(fields), index_(index) {}
        Field operator*() const { return fields_->of(fields_->spans_[index_]); }
        Iterator& operator++()
        {
            ++index_;
            return *this;
        }
        bool operator==(const Iterator&) const = default;

    private:
        const Fields* fields_;
        std::size_t index_;
    };
    [[nodiscard]] Iterator begin() const { return {this, 0}; }
    [[nodiscard]] Iterator end() const { return {this, spans_.size()}; }

private:
    struct Span {
        std::uint32_t name_at, name_length, value_at, value_length;
    };
    [[nodiscard]] static std::uint32_t bit_of(std::size_t length) { return 1U << (length < 31 ? length : 31); }
    [[nodiscard]] Field of(const Span& span) const
    {
        return {{block_.data() + span.name_at, span.name_length}, {block_.data() + span.value_at, span.value_length}};
    }
    [[nodiscard]] bool is_named(const Span& span, std::string_view name) const;
    [[nodiscard]] bool is_line(const Span& span) const;
    std::string block_; // whole lines where we made them, as is usual for those that came too
    std::vector<Span> spans_;
    std::uint32_t lengths_{0}; // of all names there were, a bit each: most questions are answered by it
};

/// How the body of a message is delimited on the wire.
enum class Framing : std::uint8_t { none, length, chunked, until_close };

struct RequestHead {
    std::string method{"GET"};
    std::string target{"/"}; ///< origin form, as received: path and query
    Fields fields{};
    int minor{1}; ///< HTTP/1.minor
    Framing framing{Framing::none};
    bool keep_alive{true};
    bool expects_continue{false};
    std::uint64_t content_length{0}; ///< with Framing::length

    [[nodiscard]] std::string_view path() const;  ///< without query
    [[nodiscard]] std::string_view query() const; ///< without '?', may be empty
};

struct ResponseHead {
    int status{200};
    int minor{1};
    std::string reason{}; ///< empty: the usual words for the status
    Fields fields{};
    Framing framing{Framing::none};
    bool keep_alive{true};
    std::uint64_t content_length{0};
};

[[nodiscard]] std::string_view reason_phrase(int status);

/// Appends the head as wire bytes, framing fields included (Content-Length or Transfer-Encoding are written
/// from `framing`, never taken from `fields`), with "Connection: close" when !keep_alive.
void serialize(const RequestHead& head, std::string& out);
void serialize(const ResponseHead& head, std::string& out);

} // namespace herd::http
