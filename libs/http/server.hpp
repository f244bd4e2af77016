#pragma once
// The serving end of HTTP/1.1: accepts streams, reads requests with limits and deadlines, hands each to the
// handler as a ServerExchange, answers pipelined requests in order, keeps alive, drains.
#include "http/message.hpp"
#include "http/parser.hpp"
#include "net/network.hpp"
#include "net/task_group.hpp"
#include "net/tls.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace herd::http {

/// An answer that the server gives by itself, no handler asked: nobody else knows of that request. Views hold during
/// the call; what they show is the client's, and may be anything.
struct OwnAnswer {
    base::Endpoint peer{};
    int status{0};
    std::string_view reason{}; ///< the sentence that the client is told
    std::string_view why{};    ///< what exactly was wrong with the head, in our words; may be empty
    std::string_view method{}; ///< empty, as the target, where there was no good head
    std::string_view target{};
    base::Duration waited{};   ///< for a head that did not come to its end
    std::size_t body_bytes{0};
};
/// Called once each, before it is sent; may add fields to its head.
using OnOwnAnswer = std::function<void(const OwnAnswer&, ResponseHead&)>;

struct ServerOptions {
    ParserLimits parser{};
    base::Duration head_timeout{std::chrono::seconds{10}};       ///< first byte of a head to its end → 408
    base::Duration keep_alive_timeout{std::chrono::seconds{120}};///< idle between requests → closed
    base::Duration body_idle_timeout{std::chrono::seconds{60}};  ///< a body that stalls → 408
    base::Duration write_idle_timeout{std::chrono::seconds{60}}; ///< a client that does not read → aborted
    std::size_t connections_max{65536};                          ///< beyond: 503 and closed
    std::shared_ptr<std::atomic<std::size_t>> connections{}; ///< open ones of all servers that share it; null: of this one
    /// A rest of a body that was not read when the answer ended is read and dropped up to this many bytes, so
    /// that the connection can live on; beyond, it is closed after the answer.
    std::size_t drain_body_bytes{64 * 1024};
    /// When set, a connection whose first byte says so is served inside TLS; others as ever, or with `tls_only`
    /// they are told, and closed.
    std::shared_ptr<const net::TlsContext> tls{};
    bool tls_only{false};
    OnOwnAnswer on_own_answer{};
};

/// One request and its answer. Thread: the connection's loop. Lives until the handler returns.
class ServerExchange {
public:
    ServerExchange() = default;
    ServerExchange(const ServerExchange&) = delete;
    ServerExchange& operator=(const ServerExchange&) = delete;
    virtual ~ServerExchange() = default;

    [[nodiscard]] virtual const RequestHead& head() const = 0;
    /// The fields of head() are not needed any more: an answer that takes long begins. It has none from now on.
    virtual void forget_fields() {}
    [[nodiscard]] virtual base::Endpoint peer() const = 0;
    [[nodiscard]] virtual base::Endpoint local() const = 0;
    [[nodiscard]] virtual net::Loop& loop() = 0;
    /// The client is connected through TLS.
    [[nodiscard]] virtual bool secure() const { return false; }
    /// No client is behind it: this program itself asks, and may.
    [[nodiscard]] virtual bool is_own() const { return false; }

    /// The next pieces of the request body (payload only, chunk framing removed); empty means it is complete.
    /// Sends "100 Continue" first when the client waits for it. Views hold until the next call; the call that
    /// returns empty gives the read buffer back, so read to the end even when body_complete() is true.
    /// Errors: malformed, timed_out, closed/reset (the client went away).
    [[nodiscard]] virtual net::Task<base::Result<std::span<const std::string_view>>> read_body() = 0;
    /// The same without waiting: nothing when read_body() would have to.
    [[nodiscard]] virtual std::optional<base::Result<std::span<const std::string_view>>> try_read_body()
    {
        return std::nullopt;
    }
    /// The whole rest of the body. Errors: as read_body; too_large beyond `limit` (nothing more is read).
    [[nodiscard]] net::Task<base::Result<std::string>> read_all(std::size_t limit);
    [[nodiscard]] virtual bool body_complete() const = 0;
    /// Ends a read_body() in progress with Errc::cancelled, if there is one; the body may be read on later.
    /// For an upload whose node has answered already.
    virtual void interrupt_read() = 0;

    /// Starts the answer. The head leaves with the first body bytes, or by flush(). `head.framing` says how
    /// the body will be delimited: length (content_length must be set), chunked, none; chunked becomes
    /// until_close by itself for HTTP/1.0 clients, until_close chunked for others. Connection fields, Date (if
    /// missing), `head.minor` and `head.keep_alive` are the server's business.
    virtual void begin(ResponseHead head) = 0;
    [[nodiscard]] virtual net::Task<base::Result<void>> flush() = 0;
    /// Writes body payload, framed, in one gathering write when the socket takes it. HEAD: bytes are dropped.
    /// Errors: closed/reset/timed_out with Source::client.
    [[nodiscard]] virtual net::Task<base::Result<void>> write(std::span<const std::string_view> pieces) = 0;
    /// Writes body payload and the end of the message with it.
    [[nodiscard]] virtual net::Task<base::Result<void>> end(std::span<const std::string_view> pieces = {}) = 0;
    /// write() or end() as far as they go without waiting. False: write() or end() must follow at once, with the same
    /// pieces; they finish it, or tell what went wrong.
    [[nodiscard]] virtual bool try_write(std::span<const std::string_view> /*pieces*/) { return false; }
    [[nodiscard]] virtual bool try_end(std::span<const std::string_view> /*pieces*/) { return false; }
    /// Head, body and end in one write.
    [[nodiscard]] net::Task<base::Result<void>> respond(ResponseHead head, std::string_view body);

    /// The connection will be closed without a proper end of the message: for broken answers.
    virtual void abort() = 0;
    /// Whoever works for this answer learns what it would if the client had left: client_gone() is true from now on, a
    /// read_body() in progress fails, on_client_gone is called. The client is still there, and can be told why.
    virtual void dismiss() = 0;
    /// The connection is reset at once, and whoever waits learns that the client is gone.
    virtual void kill() = 0;
    /// The connection ends after this answer.
    virtual void close_after() = 0;

    [[nodiscard]] virtual bool begun() const = 0;     ///< begin() was called
    [[nodiscard]] virtual bool committed() const = 0; ///< a byte of the answer was written to the socket
    [[nodiscard]] virtual bool ended() const = 0;
    [[nodiscard]] virtual bool client_gone() const = 0;
    /// Calls `work` once, on the loop, when the client goes away before end(). Replaces the previous one;
    /// nullptr removes it. Only noticed while no read_body() is in progress (which returns the error itself),
    /// and not while an unread body fills the socket. Called at once if the client is gone already.
    /// A client that only ended its side counts as gone too, as it does for Ollama; it can still be written to.
    virtual void on_client_gone(net::Callback work) = 0;
    [[nodiscard]] virtual std::uint64_t bytes_in() const = 0;  ///< body payload bytes read
    [[nodiscard]] virtual std::uint64_t bytes_out() const = 0; ///< body payload bytes written
};

/// Answers one request. If it returns without ending the answer, the server sends 500 (nothing committed)
/// or aborts the connection.
using Handler = std::function<net::Task<void>(ServerExchange&)>;
/// The body of an error answer that the server makes by itself (400, 408, 413, 414, 417, 431, 500, 501, 503).
using ErrorBody = std::function<ResponseHead(int status, std::string_view reason, std::string_view target, std::string& body)>;

/// Thread: its loop.
class Server {
public:
    Server(net::Loop& loop, ServerOptions options, Handler handler, ErrorBody error_body);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// Accepts from `listener` until drain() or stop().
    void serve(std::unique_ptr<net::Listener> listener);
    /// Serves one stream that exists already (tests).
    void serve_stream(std::unique_ptr<net::Stream> stream);
    /// For connections from now on; those that are there keep what they have.
    void set_tls(std::shared_ptr<const net::TlsContext> tls, bool tls_only);
    /// Stops accepting, closes idle connections, lets exchanges finish until `deadline`, then aborts them.
    /// To be called once, before the server is destroyed (unless the loop has ended).
    [[nodiscard]] net::Task<void> drain(base::Instant deadline);
    [[nodiscard]] std::size_t connections() const;
    [[nodiscard]] std::size_t exchanges() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace herd::http
