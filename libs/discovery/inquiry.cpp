#include "discovery/inquiry.hpp"

namespace herd::discovery {

namespace {

constexpr std::size_t line_bytes_max = 4096;
constexpr base::Duration watch_silence_max = std::chrono::seconds{30};
constexpr base::Duration watch_connect_timeout = std::chrono::milliseconds{300};

http::RequestHead get(std::string_view target, const base::Endpoint& agent, const base::Uuid& herd_id, const std::string* proof)
{
    http::RequestHead head;
    head.target = target;
    head.fields.add("Host", agent.text());
    head.fields.add("Herd-Id", herd_id.text());
    if (proof != nullptr) {
        head.fields.add(proof_field, *proof);
    }
    return head;
}

} // namespace

/// An answer, and whether a key of the fleet vouches for it.
struct Inquiry::Asked {
    http::Answer answer{};
    bool authenticated{false};
};

Inquiry::Inquiry(net::Loop& loop, http::Pool& pool, InquiryOptions options, ProofBook& proofs)
    : loop_(loop), pool_(pool), options_(options), proofs_(proofs)
{
}

net::Task<base::Result<Inquiry::Asked>> Inquiry::ask(base::NodeId expected, base::Endpoint agent, std::uint64_t known_boot,
                                                     std::uint32_t known_rev)
{
    const auto proof = proofs_.proof(expected);
    http::RequestHead head = get("/herd/v1/node", agent, options_.herd_id, proof.get());
    if (options_.udp_port != 0) {
        // The node knows our address from this connection; it only needs the port.
        head.fields.add("Herd-Udp", base::Endpoint{base::IpAddress{}, options_.udp_port}.text());
    }
    if (known_boot != 0) {
        head.fields.add("If-None-Match", etag_of(known_boot, known_rev));
    }
    const HttpNonce nonce = make_http_nonce();
    if (proofs_.authenticator().primary() != 0) {
        head.fields.add("Herd-Nonce", nonce_text(nonce));
    }
    http::FetchOptions fetching{.timeout = options_.timeout, .body_bytes_max = node_document_bytes_limit};
    auto answer = co_await http::fetch(loop_, pool_, agent, std::move(head), {}, fetching);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    const auto mac = answer->head.fields.find("Herd-MAC");
    const bool authenticated = mac && proofs_.authenticator().http_check(nonce, answer->body, *mac);
    co_return Asked{std::move(*answer), authenticated};
}

net::Task<base::Result<Confirmation>> Inquiry::confirm(base::NodeId expected, base::Endpoint agent,
                                                       std::uint64_t known_boot, std::uint32_t known_rev)
{
    auto asked = co_await ask(expected, agent, known_boot, known_rev);
    if (asked && asked->authenticated && asked->answer.head.status == 403) {
        // Our proof names an announcement of another life, or of long ago: the agent says which one to name.
        if (const auto tick = parse_challenge(asked->answer.body)) {
            proofs_.challenged(loop_.now(), expected, *tick);
            asked = co_await ask(expected, agent, known_boot, known_rev);
        }
    }
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    const http::Answer& answer = asked->answer;
    const Authenticator& keys = proofs_.authenticator();
    if (answer.head.status == 403 && answer.head.fields.find(proof_field)) {
        co_return base::fail(base::Errc::forbidden,
                             keys.primary() == 0 ? "the node serves only herds that hold its fleet key: start herd with the same key"
                                                 : "the node holds another fleet key, or refuses this herd's proof that it holds the same",
                             base::Source::node);
    }
    if (!asked->authenticated && (keys.mode() == AuthMode::require || proofs_.knows(expected))) {
        co_return base::fail(base::Errc::forbidden, "the node does not have this fleet's key", base::Source::node);
    }
    Confirmation confirmation{.document = std::nullopt, .round_trip = answer.took, .authenticated = asked->authenticated};
    if (answer.head.status == 304 && known_boot != 0) {
        co_return confirmation;
    }
    if (answer.head.status != 200) {
        co_return base::fail(base::Errc::malformed,
                             "no herd-node answers there (status " + std::to_string(answer.head.status) + ")",
                             base::Source::node);
    }
    auto document = parse_node_document(answer.body);
    if (!document) {
        co_return std::unexpected(document.error());
    }
    if (document->sender_id != expected) {
        co_return base::fail(base::Errc::conflict, "another node answers at that address", base::Source::node);
    }
    if (asked->authenticated) {
        proofs_.heard(loop_.now(), expected, {document->boot_id, document->seq});
    }
    confirmation.document = std::move(*document);
    co_return confirmation;
}

struct WatchConnection::Impl {
    Impl(net::Loop& owner, net::Network& net, base::Uuid id, std::shared_ptr<const std::string> shown)
        : loop(owner), network(net), herd_id(id), proof(std::move(shown))
    {
    }

    net::Loop& loop;
    net::Network& network;
    base::Uuid herd_id;
    std::shared_ptr<const std::string> proof;
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

WatchConnection::WatchConnection(net::Loop& loop, net::Network& network, base::Uuid herd_id, std::shared_ptr<const std::string> proof)
    : impl_(std::make_shared<Impl>(loop, network, herd_id, std::move(proof)))
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
    const http::RequestHead head = get("/herd/v1/watch", agent, impl->herd_id, impl->proof.get());
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
