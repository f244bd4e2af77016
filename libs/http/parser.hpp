#pragma once
// HTTP/1.1 grammar without I/O: bytes in, a head and body pieces out. Heads are read twice, by our own scan
// of the raw lines and by llhttp, which must agree; this room adds limits, strictness about everything
// ambiguous, whole heads instead of callbacks, and its own exact reading of chunked framing.
// Strict means: Content-Length with Transfer-Encoding, two lengths, chunked not last, folded fields, bare
// LF or CR, control characters, a target that is neither "*" nor origin nor absolute form with the name that Host has, upgrade:
// an error, never a guess. A target in absolute form is handed on in origin form.
// (One exception: an offer of h2c, which several clients make on every request, may be ignored and is.)
#include "base/error.hpp"
#include "http/message.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace herd::http {

struct ParserLimits {
    std::uint32_t head_bytes{32 * 1024};  ///< start line and fields together → 431
    std::uint32_t target_bytes{8 * 1024}; ///< → 414
    std::uint32_t fields{128};            ///< → 431
    std::uint32_t chunk_extension_bytes{256};
    std::uint32_t trailer_bytes{4 * 1024}; ///< trailers are read and dropped
};

/// Parses one message after another from one direction of a connection. Thread: one owner.
class Parser {
public:
    enum class Role : std::uint8_t { request, response };

    Parser(Role role, ParserLimits limits);
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;
    ~Parser();

    struct Step {
        std::size_t consumed{0};     ///< bytes of the input that are done with
        bool head_complete{false};   ///< became complete in this step; parsing stopped there
        bool message_complete{false};///< the message ended in this step (with its head, if it has no body)
    };

    /// Reads on. Stops after a head, after a message, or when the input is used up or `body()` is full;
    /// call again with the rest. Errors: malformed, too_large (context "head", "target", "fields", "chunk"),
    /// unsupported (context names it); the connection is beyond repair then.
    [[nodiscard]] base::Result<Step> execute(std::span<const char> input);

    /// Body pieces of the last step: views into its input, payload only (chunk framing removed).
    [[nodiscard]] std::span<const std::string_view> body() const;
    /// At most so many pieces per step: with the line of a chunk and its end they fill one gathering write.
    static constexpr std::size_t pieces_max = 14;
    /// Where body() keeps its pieces from now on (`pieces_max` of them), so that a parser that waits needs no
    /// room for them. None: the parser makes its own.
    void use_pieces(std::span<std::string_view> storage);

    /// The peer ended the stream. True when that completes the message (Framing::until_close).
    [[nodiscard]] bool finish();

    /// Valid after head_complete until the next message begins. The caller may move it out.
    [[nodiscard]] RequestHead& request();
    [[nodiscard]] ResponseHead& response();
    /// Before a response head arrives: the request was HEAD, so no body follows whatever the fields say
    /// (`framing` still tells what they say).
    void expect_no_body(bool no_body);
    /// Of a request head that was refused or never ended: the target as far as it came, for who must answer it. Empty: none.
    [[nodiscard]] std::string_view refused_target() const;
    /// No byte of a next message was seen: the moment when an idle connection may end without harm.
    [[nodiscard]] bool between_messages() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace herd::http
