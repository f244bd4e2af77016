#pragma once
// The last bytes of an answer, kept as it passes: what the node measured, and whether the stream said its
// last word, are in them. Feeding costs a copy of at most 2 KiB per write; nothing is parsed until the end.
// Of the ordinary events in the middle of a stream nothing is kept at all, for thousands of streams wait there.
// Source: reference/ollama-api.md 1.5, 3.5.
#include "fleet/profile.hpp"
#include "proxy/routes.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace herd::proxy {

/// How the payload of an answer ended.
enum class TailEnd : std::uint8_t {
    proper, ///< with the word that ends such a stream
    error,  ///< with an error told inside the stream
    open,   ///< without either
};

/// Thread: its loop.
class StreamTail {
public:
    /// What passes is such a stream: of events that say no more than "there is more" nothing needs to be kept.
    void expect(StreamKind kind) { expected_ = kind; }
    /// Takes pieces of payload, in order.
    void feed(std::span<const std::string_view> pieces);
    /// The same for a payload that is all here, and stays where it is while questions are asked: nothing is copied.
    void feed_whole(std::span<const std::string_view> pieces);

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    /// The last bytes, at most 2 KiB (or everything, if that is less). Less what expect() made needless.
    [[nodiscard]] std::string_view text() const { return whole_.empty() ? std::string_view(kept_) : whole_; }
    /// The payload so far ends where an event ends, so that another may follow.
    [[nodiscard]] bool at_event_end(StreamKind kind) const;

    [[nodiscard]] TailEnd end(StreamKind kind) const;
    /// What the node says of an answer at its end.
    struct Told {
        /// Of the last NDJSON line, of the last usage object, or of a JSON body. Where it told no count of its answer
        /// (OpenAI without include_usage), the events that passed: a token each.
        fleet::Timings timings{};
        /// Why the answer ended: of done_reason, finish_reason or stop_reason. Empty: it did not say. A view of text().
        std::string_view done_reason{};
    };
    [[nodiscard]] Told told() const;

private:
    void keep(std::string_view piece);
    void note_last_event(std::string_view piece);

    static constexpr std::size_t kept_max = 2048;
    std::string kept_;
    std::string_view whole_;    ///< instead of kept_: of feed_whole()
    std::uint64_t bytes_{0};
    std::int64_t ordinary_count_{0};
    StreamKind expected_{StreamKind::none};
    TailEnd last_event_{TailEnd::open}; ///< of sse_response: such an event began, and may be longer than what is kept
    bool all_{true}; ///< kept_ begins where the payload began
};

} // namespace herd::proxy
