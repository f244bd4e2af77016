// Who is served: everybody, or with a fleet key this machine and herds that prove that they hold it.
#include "herd-node/node_app_impl.hpp"

#include "base/log.hpp"

namespace herd::node {

namespace {
constexpr base::Duration drain_look = std::chrono::milliseconds{20};
} // namespace

net::Task<void> NodeApp::Impl::handle(http::ServerExchange& exchange)
{
    const auto host = judge_host(exchange);
    if (host != proxy::HostPolicy::Verdict::pass) {
        http::ResponseHead head;
        head.status = host == proxy::HostPolicy::Verdict::options ? 204 : 403;
        (void)co_await exchange.respond(std::move(head), {});
    } else if (!may_pass(exchange)) {
        co_await refuse_stranger(exchange);
    } else if (AgentApi::owns(exchange.head().path())) {
        co_await api.handle(exchange);
    } else if (options.gateway) {
        co_await gateway.handle(exchange);
    } else {
        co_await respond_error(exchange, 404, "the gateway is off: ask Ollama itself");
    }
}

/// A web page under a name that was made to lead here (DNS rebinding) is asked for by a browser of this machine, whatever
/// the listener: without a proof, who comes by loopback must call this machine by a name that Ollama takes too.
proxy::HostPolicy::Verdict NodeApp::Impl::judge_host(const http::ServerExchange& exchange)
{
    const auto& policy = exchange.peer().address.is_loopback() ? own_names : hosts;
    const auto verdict = policy.judge(exchange.head());
    const bool proven = verdict == proxy::HostPolicy::Verdict::refused && authenticator.primary() != 0
        && judge_proof(exchange) == discovery::ProofGate::Verdict::good;
    return proven ? proxy::HostPolicy::Verdict::pass : verdict;
}

discovery::ProofGate::Verdict NodeApp::Impl::judge_proof(const http::ServerExchange& exchange)
{
    const auto& fields = exchange.head().fields;
    const std::uint32_t seq = beacon ? beacon->announcer().seq() : 0U;
    const auto shown = fields.count(discovery::proof_field) == 1 ? fields.find(discovery::proof_field) : std::nullopt;
    return gate.judge(loop.now(), seq, shown, exchange.peer().address, authenticator);
}

/// With a fleet key: who is on this machine, and herds that prove that they hold the key.
bool NodeApp::Impl::may_pass(const http::ServerExchange& exchange)
{
    if (authenticator.primary() == 0 || exchange.peer().address.is_loopback()) {
        return true;
    }
    const auto verdict = judge_proof(exchange);
    if (verdict == discovery::ProofGate::Verdict::good) {
        return true;
    }
    // A herd that was started anew asks without a proof, and shows an old one to an agent that was.
    const bool expected = verdict == discovery::ProofGate::Verdict::other_life
        || (verdict == discovery::ProofGate::Verdict::missing && exchange.head().path() == "/herd/v1/node");
    if (!expected && tell_stranger.due(loop.now())) {
        log::warn("agent", "stranger_refused",
                  {{"from", exchange.peer().address.text()},
                   {"path", exchange.head().path()},
                   {"proof", discovery::to_string(verdict)},
                   {"again", "in a minute at the earliest"}});
    }
    return false;
}

/// A herd learns from this which announcement its proof must name; the MAC tells it that a member says so.
net::Task<void> NodeApp::Impl::refuse_stranger(http::ServerExchange& exchange)
{
    const discovery::Tick tick{identity.boot_id, beacon ? beacon->announcer().seq() : 0U};
    const std::string body = discovery::challenge_json("this node serves only the herds of its fleet: ask a herd instead", tick);
    auto head = answer_head(403, "application/json; charset=utf-8");
    head.fields.add(discovery::proof_field, "refused");
    add_mac(exchange, authenticator, body, head);
    exchange.close_after();
    (void)co_await exchange.respond(std::move(head), body);
}

/// When an announcement was made is known to some seconds, which is enough.
void NodeApp::Impl::mark_proofs()
{
    gate.said(loop.now(), beacon ? beacon->announcer().seq() : 0U);
    proof_timer.call_after(discovery::proof_mark_interval, [this] { mark_proofs(); });
}

void NodeApp::Impl::set_keys(discovery::Authenticator keys)
{
    authenticator = std::move(keys);
    gate.forget();
    agent.set_keys(authenticator.key_ids());
    if (beacon) {
        beacon->set_authenticator(authenticator);
    }
}

/// Waits until nothing is in flight, at most for `grace`.
net::Task<void> NodeApp::Impl::drain_gateway(base::Duration grace)
{
    const auto until = loop.now() + grace;
    gateway.drain();
    while (gateway.traffic().in_flight > 0 && !hurry && loop.now() < until) {
        (void)co_await net::sleep_for(loop, drain_look);
    }
}

} // namespace herd::node
