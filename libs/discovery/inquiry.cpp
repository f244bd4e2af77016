#include "discovery/inquiry.hpp"

namespace herd::discovery {

namespace {

constexpr std::size_t line_bytes_max = 4096;
constexpr base::Duration watch_silence_max = std::chrono::seconds{30};
constexpr base::Duration watch_connect_timeout = std::chrono::milliseconds{300};

http::RequestHead get(std::string_view target, const base::Endpoint& agent, const base::Uuid& herd_id)
{
    http::RequestHead head;
    head.target = target;
    head.fields.add("Host", agent.text());
    head.fields.add("Herd-Id", herd_id.text());
    return head;
}

} // namespace

Inquiry::Inquiry(net::Loop& loop, http::Pool& pool, InquiryOptions options)
    : loop_(loop), pool_(pool), options_(std::move(options))
{
}

net::Task<base::Result<Confirmation>> Inquiry::confirm(base::NodeId expected, base::Endpoint agent,
                                                       std::uint64_t known_boot, std::uint32_t known_rev)
{
    http::RequestHead head = get("/herd/v1/node", agent, options_.herd_id);
    if (options_.udp_port != 0) {
        // The node knows our address from this connection; it only needs the port.
        head.fields.add("Herd-Udp", base::Endpoint{base::IpAddress{}, options_.udp_port}.text());
    }
    if (known_boot != 0) {
        head.fields.add("If-None-Match", etag_of(known_boot, known_rev));
    }
    const HttpNonce nonce = make_http_nonce();
    const bool keyed = options_.authenticator.primary() != 0;
    if (keyed) {
        head.fields.add("Herd-Nonce", nonce_text(nonce));
    }
    http::FetchOptions fetching{.timeout = options_.timeout, .body_bytes_max = node_document_bytes_limit};
    auto answer = co_await http::fetch(loop_, pool_, agent, std::move(head), {}, fetching);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (options_.authenticator.mode() == AuthMode::require) {
        const auto mac = answer->head.fields.find("Herd-MAC");
        if (!mac || !options_.authenticator.http_check(nonce, answer->body, *mac)) {
            co_return base::fail(base::Errc::forbidden, "the node does not have this fleet's key", base::Source::node);
        }
    }
    Confirmation confirmation{.document = std::nullopt, .round_trip = answer->took};
    if (answer->head.status == 304 && known_boot != 0) {
        co_return confirmation;
    }
    if (answer->head.status != 200) {
        co_return base::fail(base::Errc::malformed,
                             "no herd-node answers there (status " + std::to_string(answer->head.status) + ")",
                             base::Source::node);
    }
    auto document = parse_node_document(answer->body);
    if (!document) {
        co_return std::unexpected(document.error());
    }
    if (document->sender_id != expected) {
        co_return base::fail(base::Errc::conflict, "another node answers at that address", base::Source::node);
    }
    confirmation.document = std::move(*document);
    co_return confirmation;
}

struct WatchConnection::Impl {
    Impl(net::Loop& owner, net::Network& net, base::Uuid id) : loop(owner), network(net), herd_id(id) {}

    net::Loop& loop;
    net::Network& network;
    base::Uuid herd_id;
    std::unique_ptr<http::ClientConnection> connection{};
    bool closed{false};
    bool silent{false};

    base::Error ended(base::Error error) const
    {
        error.source = base::Source::node;
        error.code = closed ? base::Errc::cancelled : silent ? base::Errc::timed_out : error.code;
        return error;
    }

    /// Hands over the whole lines in `pending` and keeps the rest. False: a line too long or not ours.
    static bool take_lines(std::string& pending, const std::function<void(const WatchLine&)>& on_line)
    {
        std::size_t begin = 0;
        for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', begin)) {
            const auto line = parse_watch_line(std::string_view{pending}.substr(begin, end - begin));
            if (!line) {
                return false;
            }
            begin = end + 1;
            on_line(*line);
        }
        pending.erase(0, begin);
        return pending.size() <= line_bytes_max;
    }
};

WatchConnection::WatchConnection(net::Loop& loop, net::Network& network, base::Uuid herd_id)
    : impl_(std::make_shared<Impl>(loop, network, herd_id))
{
}

WatchConnection::~WatchConnection() { close(); }

void WatchConnection::close()
{
    impl_->closed = true;
    if (impl_->connection) {
        impl_->connection->close();
    }
}

net::Task<base::Error> WatchConnection::run(base::Endpoint agent, std::function<void(const WatchLine&)> on_line)
{
    const auto impl = impl_; // outlives this object if it is destroyed while we wait
    auto stream = co_await impl->network.connect(agent, impl->loop.now() + watch_connect_timeout);
    if (!stream) {
        co_return impl->ended(stream.error());
    }
    if (impl->closed) {
        co_return impl->ended({});
    }
    impl->connection = std::make_unique<http::ClientConnection>(impl->loop, std::move(*stream));
    net::Deadline silence(impl->loop, [impl] {
        impl->silent = true;
        impl->connection->close();
    });
    silence.set_after(watch_silence_max);
    const http::RequestHead head = get("/herd/v1/watch", agent, impl->herd_id);
    if (const auto sent = co_await impl->connection->send(head, {}); !sent) {
        co_return impl->ended(sent.error());
    }
    const auto answer = co_await impl->connection->read_head();
    if (!answer) {
        co_return impl->ended(answer.error());
    }
    if (answer->status != 200) {
        impl->connection->close();
        // Only these mean "never"; an agent that is busy may serve it later.
        const bool never = answer->status == 404 || answer->status == 405;
        co_return base::Error{never ? base::Errc::unsupported : base::Errc::closed, base::Source::node,
                              base::Retry::never, "no watch stream", {}};
    }
    std::string pending;
    for (;;) {
        const auto pieces = co_await impl->connection->read_body();
        if (!pieces) {
            co_return impl->ended(pieces.error());
        }
        if (pieces->empty()) {
            impl->connection->close();
            co_return impl->ended({base::Errc::closed, base::Source::node, base::Retry::always, {}, {}});
        }
        silence.set_after(watch_silence_max);
        for (const std::string_view piece : *pieces) {
            pending += piece;
        }
        if (!Impl::take_lines(pending, on_line)) {
            impl->connection->close();
            co_return base::Error{base::Errc::malformed, base::Source::node, base::Retry::never, "watch line", {}};
        }
    }
}

} // namespace herd::discovery
