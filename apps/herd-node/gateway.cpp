#include "herd-node/gateway.hpp"

#include "base/log.hpp"
#include "herd-node/agent_api.hpp"
#include "http/hop.hpp"
#include "proxy/failover.hpp"
#include "proxy/heads.hpp"
#include "proxy/relay.hpp"

namespace herd::node {

namespace {

using proxy::Handling;

bool keeps_model_busy(const proxy::Route& route)
{
    return route.handling == Handling::inference || route.handling == Handling::unknown_post;
}

bool changes_disk(const proxy::Route& route)
{
    switch (route.handling) {
    case Handling::pull:
    case Handling::create:
    case Handling::copy:
    case Handling::remove: return true;
    default: return false;
    }
}

} // namespace

/// One request in flight, for as long as it lives.
class Gateway::Counted {
public:
    Counted(Traffic& traffic, bool works) : traffic_(traffic), works_(works ? 1 : 0)
    {
        ++traffic_.in_flight;
        traffic_.working += works_;
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted()
    {
        --traffic_.in_flight;
        traffic_.working -= works_;
    }

private:
    Traffic& traffic_;
    int works_;
};

Gateway::Gateway(net::Loop& loop, net::Network& network, http::Pool& pool, Backend& backend, GatewayOptions options)
    : pool_(pool), backend_(backend), options_(std::move(options)), cors_({}),
      media_(loop, network, pool, options_.media, options_.path, [this](const http::RequestHead& head, http::Fields& answer) {
          if (cors_.judge(head) == proxy::CorsPolicy::Verdict::allowed) {
              cors_.mark(head, answer);
          }
      }, [this](std::string_view key) { return has_model(backend_.view().models, key); })
{
}

net::Task<void> Gateway::handle(http::ServerExchange& exchange)
{
    const auto& head = exchange.head();
    if (http::via_contains(head.fields, options_.own_id)) {
        co_await refuse(exchange, 508, "this request came past here before: a loop of proxies");
        co_return;
    }
    // Herds send no Origin; a browser does, and must be held to Ollama's own rule, because Ollama, which
    // never sees it, cannot.
    const auto verdict = cors_.judge(head);
    if (verdict == proxy::CorsPolicy::Verdict::refused) {
        http::ResponseHead forbidden;
        forbidden.status = 403;
        (void)co_await exchange.respond(std::move(forbidden), "");
        co_return;
    }
    if (verdict == proxy::CorsPolicy::Verdict::preflight) {
        http::ResponseHead fine;
        fine.status = 204;
        cors_.mark_preflight(head, fine.fields);
        co_await respond_bare(exchange, std::move(fine));
        co_return;
    }
    if (draining_) {
        co_await fail(exchange, 503, proxy::gateway_untouched, "this node is being shut down");
        co_return;
    }
    const auto route = proxy::classify(head.method, head.path(), head.query());
    std::optional<KeptBody> body;
    if (media_.may_be_for_tool(route, head)) {
        const Counted counted(traffic_, false);
        body = co_await media_.handle(exchange, route);
        if (!body) {
            co_return;
        }
    }
    const auto& view = backend_.view();
    if (view.state == BackendState::refused) {
        co_await fail(exchange, 503, proxy::gateway_untouched, view.reason);
        co_return;
    }
    if (!view.endpoint) {
        backend_.suspect();
        co_await fail(exchange, 503, proxy::gateway_untouched, view.reason.empty() ? "Ollama was not reached yet" : view.reason);
        co_return;
    }
    {
        const Counted counted(traffic_, keeps_model_busy(route));
        co_await relay(exchange, *view.endpoint, body ? std::string_view(body->text) : std::string_view());
    }
    note(route);
}

/// What this request may have changed at Ollama.
void Gateway::note(const proxy::Route& route)
{
    if (keeps_model_busy(route) || route.handling == Handling::create) {
        backend_.refresh_loaded();
    }
    if (changes_disk(route)) {
        backend_.refresh_models();
    }
}

net::Task<void> Gateway::relay(http::ServerExchange& exchange, base::Endpoint to, std::string_view read)
{
    // A body is streamed and cannot be sent twice, so it never meets a kept connection that may just have died;
    // connecting to this machine costs next to nothing.
    const bool has_body = exchange.head().framing != http::Framing::none;
    for (int turn = 0; turn < 2; ++turn) {
        auto taken = co_await pool_.take(to, turn > 0 || has_body);
        if (!taken) {
            backend_.suspect();
            co_await fail(exchange, 502, proxy::gateway_untouched, "Ollama cannot be reached: " + taken.error().message());
            co_return;
        }
        const auto outcome = co_await attempt(exchange, *taken, to, read);
        if (outcome == Outcome::done) {
            co_return;
        }
    }
}

net::Task<Gateway::Outcome> Gateway::attempt(http::ServerExchange& exchange, http::Pool::Taken& taken,
                                             base::Endpoint to, std::string_view read)
{
    auto& connection = *taken.connection;
    const bool has_body = exchange.head().framing != http::Framing::none;
    if (!co_await send(exchange, connection, to, read)) {
        co_return Outcome::done;
    }
    // The answer begins with the first token, minutes from now perhaps; only the client's leaving ends the wait.
    exchange.on_client_gone([&connection] { connection.close(); });
    if (exchange.client_gone()) {
        connection.close();
    }
    auto head = co_await connection.read_head();
    exchange.on_client_gone(nullptr);
    if (exchange.client_gone()) {
        connection.close();
        co_return Outcome::done;
    }
    if (!head) {
        const bool untouched = !connection.answer_begun();
        connection.close();
        if (untouched && taken.reused && !has_body) {
            co_return Outcome::stale;
        }
        backend_.suspect();
        co_await fail(exchange, 502, proxy::gateway_broken, "Ollama broke off: " + head.error().message());
        co_return Outcome::done;
    }
    auto answer = proxy::client_head(*head);
    if (cors_.judge(exchange.head()) == proxy::CorsPolicy::Verdict::allowed) {
        cors_.mark(exchange.head(), answer.fields);
    }
    exchange.begin(std::move(answer));
    // No limit on pauses either: whoever sits in front of us has limits of its own.
    const auto relayed = co_await proxy::relay_answer(exchange, connection, {}, {}, nullptr);
    if (relayed.end == proxy::RelayEnd::complete) {
        pool_.give_back(std::move(taken.connection));
    } else if (relayed.end == proxy::RelayEnd::node_broken) {
        backend_.suspect();
    }
    co_return Outcome::done;
}

/// Sends head and body. False when the exchange is over (the client left, or was refused).
net::Task<bool> Gateway::send(http::ServerExchange& exchange, http::ClientConnection& connection,
                              base::Endpoint to, std::string_view read)
{
    const fleet::Address address{
        .endpoint = to, .host_header = backend_.url().authority(), .path_prefix = backend_.url().path};
    const auto head = proxy::node_head(exchange.head(), address, exchange.peer(), options_.own_id, exchange.secure());
    if (head.framing == http::Framing::none) {
        // A failure shows again when the answer is read, and is judged there.
        (void)co_await connection.send(head, {});
        co_return true;
    }
    if (options_.body_bytes_max != 0 && head.framing == http::Framing::length
        && head.content_length > options_.body_bytes_max) {
        co_await refuse(exchange, 413, "request body too large");
        co_return false;
    }
    (void)co_await connection.send_head(head);
    const proxy::RelayOptions limits{.idle_timeout = {}, .body_bytes_max = options_.body_bytes_max};
    const auto uploaded = co_await proxy::relay_body(exchange, connection, read, limits);
    switch (uploaded.end) {
    case proxy::UploadEnd::complete:
    case proxy::UploadEnd::early_answer: co_return true;
    case proxy::UploadEnd::too_large:
        co_await refuse(exchange, 413, "request body too large");
        co_return false;
    case proxy::UploadEnd::node_silent:
    case proxy::UploadEnd::client_gone: break;
    }
    if (!exchange.client_gone()) {
        co_await refuse(exchange, 400, uploaded.error.message());
    }
    co_return false;
}

/// For want of an Ollama, not for the request's own fault: a herd tries another node.
net::Task<void> Gateway::fail(http::ServerExchange& exchange, int status, std::string_view known, std::string sentence)
{
    log::debug("gateway", "request_failed", {{"status", status}, {"reason", sentence}});
    exchange.close_after();
    http::Fields fields;
    fields.add(proxy::gateway_field, known);
    co_await respond_error(exchange, status, std::move(sentence), std::move(fields));
}

net::Task<void> Gateway::refuse(http::ServerExchange& exchange, int status, std::string sentence)
{
    log::debug("gateway", "request_refused", {{"status", status}, {"reason", sentence}});
    exchange.close_after();
    co_await respond_error(exchange, status, std::move(sentence));
}

} // namespace herd::node
