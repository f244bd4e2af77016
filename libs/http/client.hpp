#pragma once
// The asking end of HTTP/1.1 over one stream: send a request, read its answer, maybe another.
// Never half-closes, has no deadline of its own but those it is given; close() from outside ends every wait.
#include "http/message.hpp"
#include "http/parser.hpp"
#include "net/stream.hpp"

#include <memory>
#include <optional>
#include <span>

namespace herd::http {

namespace internal {
class Place;
}

/// Thread: its loop. Errors carry Source::node; retry is `if_unsent` until a byte of the answer came
/// (nothing is known about what the node did), `never` after.
class ClientConnection {
public:
    ClientConnection(net::Loop& loop, std::unique_ptr<net::Stream> stream, ParserLimits limits = {});
    ClientConnection(const ClientConnection&) = delete;
    ClientConnection& operator=(const ClientConnection&) = delete;
    ~ClientConnection();

    /// Sends head and body in one go; `head.framing` must be none, or length with the body's size.
    [[nodiscard]] net::Task<base::Result<void>> send(const RequestHead& head, std::string_view body);
    /// The same as far as it goes without waiting. True: all of it is out. False: send_rest() must follow, for
    /// which the body must still be there.
    [[nodiscard]] bool try_send(const RequestHead& head, std::string_view body);
    [[nodiscard]] net::Task<base::Result<void>> send_rest();
    /// Streams a body: head (framing length or chunked), then pieces, then the end.
    [[nodiscard]] net::Task<base::Result<void>> send_head(const RequestHead& head);
    [[nodiscard]] net::Task<base::Result<void>> send_body(std::span<const std::string_view> pieces);
    [[nodiscard]] net::Task<base::Result<void>> send_end();
    /// True when the answer (or the end) is already arriving, so sending more is useless:
    /// Ollama answers a blob upload with 200 before reading it. The send functions stop then, and succeed;
    /// go on with read_head().
    [[nodiscard]] bool answer_waiting();
    /// Calls `work` once, on the loop, when the answer (or the end) arrives between two sends of a streamed
    /// body, while the sender waits for something else. nullptr removes it; so does read_head().
    void on_early_answer(net::Callback work);

    /// The final head of the answer (1xx are read and dropped). Waits as long as it takes: headers come with
    /// the first token. Errors: closed (ended before a head), reset, malformed, too_large, cancelled.
    [[nodiscard]] net::Task<base::Result<ResponseHead>> read_head();
    /// The same without waiting: nothing when read_head() would have to; then readable() says when to try again.
    [[nodiscard]] std::optional<base::Result<ResponseHead>> try_read_head();
    /// The next pieces of the body; empty means complete. Holds no buffer while it waits.
    /// Views hold until the next call. Errors: closed (ended inside the body), reset, malformed, cancelled.
    [[nodiscard]] net::Task<base::Result<std::span<const std::string_view>>> read_body();
    /// The same without waiting: nothing when read_body() would have to.
    [[nodiscard]] std::optional<base::Result<std::span<const std::string_view>>> try_read_body();
    /// After try_read_head() or try_read_body() returned nothing: until it is worth another try. False: closed by us,
    /// see closed_error(). Together they are read_body() without a frame of its own, for those who wait by the thousand.
    [[nodiscard]] net::Task<bool> readable();
    [[nodiscard]] base::Error closed_error() const;
    [[nodiscard]] net::Task<base::Result<std::string>> read_all(std::size_t limit);

    /// The answer's last byte was read: the pieces of the last read_body() were the last (so that a relay can end
    /// its own message with them). One more read_body() still gives the buffer back.
    [[nodiscard]] bool body_complete() const;
    /// The answer is complete and the peer keeps the connection.
    [[nodiscard]] bool reusable() const;
    [[nodiscard]] bool answer_begun() const; ///< a byte of the current answer arrived
    void close() noexcept;
    /// The same, for a host that is known to be gone: what waits here fails as if it had timed out.
    void give_up() noexcept;
    [[nodiscard]] net::Stream& stream();
    /// Its place among the connections of a pool.
    [[nodiscard]] internal::Place& place();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace herd::http
