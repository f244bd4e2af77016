#pragma once
// Bytes between a client and a node, as they come: read, write, read again. Nothing is copied, parsed or
// kept on the way; the next read happens only after the previous write, so a slow reader slows the sender.
// While a stream is idle it costs no buffer. Used by herd's proxy and by herd-node's gateway alike.
#include "http/client.hpp"
#include "http/server.hpp"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace herd::proxy {

struct RelayOptions {
    /// Without the node taking a byte of a request body for this long its connection is closed. 0: no limit.
    base::Duration idle_timeout{std::chrono::seconds{600}};
    std::uint64_t body_bytes_max{0}; ///< of a request body; 0: no limit
};

/// How the relaying of an answer ended.
enum class RelayEnd : std::uint8_t {
    complete,    ///< the node's message ended as HTTP says it should
    client_gone, ///< the client left; the node's connection is closed already
    node_broken, ///< the node's connection ended inside the message
    node_silent, ///< idle_timeout passed
};

/// Who watches over an answer on its way. Outlives it.
class AnswerWatch {
public:
    AnswerWatch(const AnswerWatch&) = delete;
    AnswerWatch& operator=(const AnswerWatch&) = delete;
    /// Hears of a batch of pieces before the client does. True: before_write() is to be awaited first.
    [[nodiscard]] virtual bool passing(std::span<const std::string_view> pieces) = 0;
    [[nodiscard]] virtual net::Task<void> before_write() = 0;
    /// Asked once, when the node's message is over (complete, broken or silent) and before the client's is:
    /// bytes to append to the answer, such as an in-band error. Empty: nothing to say.
    [[nodiscard]] virtual std::string last_words(RelayEnd end) = 0;

protected:
    AnswerWatch() = default;
    ~AnswerWatch() = default;
};

struct Relayed {
    RelayEnd end{RelayEnd::complete};
    std::unique_ptr<base::Error> error{}; ///< null when complete; a pointer, for every open stream has room for it
};

/// Streams the rest of an answer to the client. `first`: body pieces that were read from `connection` already, to make
/// sure that a first byte exists before the client hears of anything; still valid views of it. Empty: none.
/// Without a byte from the node for `idle_timeout` its connection is closed; 0: no limit. `watch` may be null.
/// Requires: read_head() succeeded on `connection`, and
/// `exchange.begin()` was called. Afterwards the client's message is ended: properly when the node's was
/// complete; properly and with the connection closed when last words were said; by an abort otherwise. The
/// node's connection is closed unless the end was complete: give it back to the pool or drop it.
/// on_client_gone of the exchange is used, and cleared at the end.
/// Awaits: yes. All references must outlive the call.
[[nodiscard]] net::Task<Relayed> relay_answer(http::ServerExchange& exchange, http::ClientConnection& connection,
                                              std::span<const std::string_view> first, base::Duration idle_timeout,
                                              AnswerWatch* watch);

/// How the relaying of a request body ended.
enum class UploadEnd : std::uint8_t {
    complete,     ///< all of it was sent
    early_answer, ///< the node answers (or gave up) before it had all: read its head now, expect no keep-alive
    client_gone,  ///< the client left or sent nonsense; the node's connection is closed
    node_silent,  ///< the node took nothing for idle_timeout; its connection is closed
    too_large,    ///< the body passed body_bytes_max; the node's connection is closed
};

struct Uploaded {
    UploadEnd end{UploadEnd::complete};
    base::Error error{}; ///< unless complete
};

/// Streams the request body to the node: `prefix` (what was read of it already), then the rest as it
/// comes, then the end. Requires: send_head() succeeded on `connection` with framing length or chunked.
/// A failing write is reported as early_answer, for an Ollama that has the blob answers and closes.
/// on_client_gone of the exchange is used, and cleared at the end.
[[nodiscard]] net::Task<Uploaded> relay_body(http::ServerExchange& exchange, http::ClientConnection& connection,
                                             std::string_view prefix, RelayOptions options);

} // namespace herd::proxy
