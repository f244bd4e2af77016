#include "herd/relay_unit.hpp"

#include "herd/dashboard/page.hpp"
#include "herd/watched.hpp"
#include "proxy/frontend.hpp"
#include "proxy/merged.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::app {

namespace {

proxy::HostPolicy host_policy(const proxy::ProxyOptions& options)
{
    if (!options.loopback_only) {
        return {};
    }
    std::array<char, 256> name{};
    (void)::gethostname(name.data(), name.size() - 1);
    auto hosts = options.hosts;
    if (options.frontends != nullptr) { // what a person gave a frontend is a name of ours; a catch-all gives none
        for (const auto& frontend : options.frontends->all()) {
            std::ranges::copy_if(frontend->config.hostnames, std::back_inserter(hosts), [](const std::string& host) { return host != "*"; });
        }
    }
    return {name.data(), hosts};
}

/// Agents announce themselves each second, and a question about a decision changes nothing.
bool is_worth_a_record(const http::RequestHead& head)
{
    const bool reads = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
    return !reads && head.path() != "/herd/v1/announce" && head.path() != "/herd/v1/route";
}

http::ServerOptions telling(http::ServerOptions options, http::OnOwnAnswer tell)
{
    options.on_own_answer = std::move(tell);
    return options;
}

/// `theirs`: in the shape of OllamaFlow's errors.
net::Task<void> answer_foreign(http::ServerExchange& exchange, bool theirs)
{
    std::string body = admin::error("this herd is not called so: use its address or localhost, or name this Host in [cors] hosts");
    body = theirs ? admin::ollamaflow::error(403, body) : std::move(body);
    http::ResponseHead head;
    head.status = 403;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    head.fields.add("Cache-Control", "no-store");
    (void)co_await exchange.respond(std::move(head), body); // a client that left needs no answer
}

/// As routes have it, for a request that none was found for.
std::string_view api_of(std::string_view path)
{
    const bool own = path.empty() || path.starts_with("/dashboard") || admin::RecordsApi::owns(path) || admin::Admin::owns(path);
    return own ? "admin" : proxy::to_string(proxy::dialect_of(path));
}

} // namespace

RelayUnit::RelayUnit(net::Loop& loop, RelayParts parts)
    : loop_(loop), network_(net::make_network(loop)), pool_(loop, *network_, parts.pool),
      scheduler_(loop, *parts.fleet, parts.index), hosts_(host_policy(*parts.proxy)),
      proxy_(loop, scheduler_, pool_, std::move(parts.proxy), std::move(parts.shared), parts.rng,
             [this](proxy::ExchangeRecord&& record) {
                 asker_.ended(record);
                 sink_(std::move(record));
             }),
      sink_(std::move(parts.sink)), asker_(loop, base::Rng(parts.rng.next()), [this](http::ServerExchange& exchange) { return proxy_.handle(exchange); }),
      own_answers_(*parts.own_answers), rng_(parts.rng.next()),
      admin_(scheduler_, [this] { return proxy_.options(); }, std::move(parts.controls)),
      records_(*parts.ledger, std::move(parts.in_flight), std::move(parts.scene)), keys_(*parts.keys, [this] { return proxy_.options(); }, [this] { return scheduler_.snapshot(); }), devices_(*parts.devices),
      knocked_(std::move(parts.knocked)), gate_(std::move(parts.gate)),
      server_(loop, telling(parts.server, [this](const http::OwnAnswer& answer, http::ResponseHead& head) { note(answer, head); }),
              [this](http::ServerExchange& exchange) { return handle(exchange); }, proxy::error_answer),
      tasks_(loop, "relay")
{
}

base::Result<void> RelayUnit::listen(net::BoundSocket socket)
{
    auto listener = network_->listen(std::move(socket));
    if (!listener) {
        return std::unexpected(listener.error());
    }
    server_.serve(std::move(*listener));
    return {};
}

std::vector<health::Stuck> RelayUnit::stuck()
{
    std::vector<health::Stuck> all;
    for (auto& [record, phase, still] : proxy_.still(health::stuck_answering, stuck_most)) {
        all.push_back({std::move(record.id), std::move(record.node), std::move(record.model), phase, still});
    }
    return all;
}

void RelayUnit::drain(base::Instant deadline, net::Callback done)
{
    tasks_.spawn("drain", drain_and_tell(deadline, std::move(done)));
}

/// What is not done by then is ended as an operator would end it: the client is told, the record does not blame it.
/// Who does not read that either is cut off.
net::Task<void> RelayUnit::drain_and_tell(base::Instant deadline, net::Callback done)
{
    net::Timer grace(loop_);
    grace.call_at(deadline, [this] { cut_short(); });
    co_await server_.drain(deadline + last_words);
    grace.cancel();
    done();
}

void RelayUnit::cut_short() { proxy_.cancel_all("herd was stopped"); }

void RelayUnit::set_options(std::shared_ptr<const proxy::ProxyOptions> options, std::shared_ptr<const admin::GateRules> gate)
{
    hosts_ = host_policy(*options);
    proxy_.set_options(std::move(options));
    gate_ = std::move(gate);
}

void RelayUnit::set_access(keys::Published published)
{
    if (published.generation >= access_.generation) {
        access_ = std::move(published);
        proxy_.set_access(access_.access);
    }
}

bool RelayUnit::is_own(const http::RequestHead& head) const
{
    const std::string_view path = head.path();
    return dashboard::owns(head) || admin::RecordsApi::owns(path) || admin::Admin::owns(path)
        || (gate_->ollamaflow && admin::ollamaflow::owns(path));
}

/// Ollama says 403 and nothing else, and so does herd where Ollama's own paths are asked; its own routes say why.
net::Task<void> RelayUnit::refuse_host(http::ServerExchange& exchange)
{
    const http::RequestHead& asked = exchange.head();
    if (!is_own(asked) || asked.path() == "/") {
        return answer_empty(exchange, 403);
    }
    return answer_foreign(exchange, gate_->ollamaflow && admin::ollamaflow::owns(asked.path()));
}

net::Task<void> RelayUnit::answer_empty(http::ServerExchange& exchange, int status)
{
    http::ResponseHead head;
    head.status = status;
    (void)co_await exchange.respond(std::move(head), {}); // a client that left needs no answer
}

net::Task<void> RelayUnit::handle(http::ServerExchange& exchange)
{
    switch (hosts_.judge(exchange.head())) {
    case proxy::HostPolicy::Verdict::refused: return handle_noted(exchange, By::host_refusal);
    case proxy::HostPolicy::Verdict::options: return answer_empty(exchange, 204);
    case proxy::HostPolicy::Verdict::pass: break;
    }
    if (access_.access != nullptr && access_.access->serves_devices()) {
        switch (const auto door = at_the_door(exchange)) {
        case devices::Door::elsewhere: break;
        case devices::Door::version: return answer_door(exchange, door); // no record: docs/adr/0015
        case devices::Door::welcome:
        case devices::Door::refused: return handle_noted(exchange, By::door, door);
        }
    }
    const http::RequestHead& head = exchange.head();
    if (!is_own(head)) {
        return proxy_.handle(exchange);
    }
    return is_worth_a_record(head) ? handle_noted(exchange, By::own_route) : handle_named(exchange);
}

/// What herd answers itself and keeps no record of. An id it has all the same, to speak of it with whoever asked.
net::Task<void> RelayUnit::handle_named(http::ServerExchange& exchange)
{
    Watched watched(exchange, base::make_request_id(rng_, loop_.wall()));
    co_await handle_own(watched, judge(watched));
}

proxy::ExchangeRecord RelayUnit::own_record(const base::Endpoint& client)
{
    proxy::ExchangeRecord record;
    record.at = loop_.wall();
    record.id = base::make_request_id(rng_, record.at);
    record.client = client;
    record.api = "admin";
    return record;
}

/// What herd answers itself and leaves a record: changes of herd, who called it by a name that is not its own, and devices
/// at the door.
net::Task<void> RelayUnit::handle_noted(http::ServerExchange& exchange, By by, devices::Door door)
{
    const auto began = loop_.now();
    proxy::ExchangeRecord record = own_record(exchange.peer());
    record.method = exchange.head().method;
    record.path = exchange.head().path().substr(0, 512);
    record.user_agent = exchange.head().fields.find("User-Agent").value_or("").substr(0, 128);
    Watched watched(exchange, record.id);
    bool refused = true;
    switch (by) {
    case By::own_route: {
        auto verdict = judge(watched);
        refused = verdict.refused.has_value();
        record.key = verdict.key != nullptr ? verdict.key->name : std::string{};
        record.error = refused ? verdict.refused->message : std::string{};
        co_await handle_own(watched, std::move(verdict));
        break;
    }
    case By::host_refusal:
        record.error = "the Host is not one of this herd's names";
        co_await refuse_host(watched);
        break;
    case By::door:
        refused = door == devices::Door::refused;
        record.api = devices::is_handshake(exchange.head()) ? "admin" : api_of(exchange.head().path());
        record.error = refused ? "the device is not authorized" : "";
        co_await answer_door(watched, door);
        break;
    }
    record.status = watched.status() != 0 ? watched.status() : watched.client_gone() ? 499 : 500;
    record.termination = refused ? "PR" : watched.client_gone() && !watched.ended() ? "CD" : "--";
    record.total = record.first_byte = loop_.now() - began;
    record.bytes_in = watched.bytes_in();
    record.bytes_out = watched.bytes_out();
    sink_(std::move(record));
}

/// What the server refused before anybody could be asked. Of the target only the path: the rest may hold a key.
void RelayUnit::note(const http::OwnAnswer& answer, http::ResponseHead& head)
{
    proxy::ExchangeRecord record = own_record(answer.peer);
    head.fields.add("X-Herd-Request-Id", record.id);
    if (!own_answers_.admit(loop_.now(), answer.status)) {
        return;
    }
    const auto path = answer.target.substr(0, answer.target.find('?')).substr(0, 512);
    record.at -= std::chrono::duration_cast<std::chrono::microseconds>(answer.waited);
    record.api = api_of(path);
    record.method = answer.method;
    record.path = path;
    record.status = answer.status;
    record.termination = answer.status == 408 ? "TR" : "PR";
    record.error = answer.why.empty() ? std::string(answer.reason) : fmt::format("{}: {}", answer.reason, answer.why);
    record.total = record.first_byte = answer.waited;
    record.bytes_out = answer.body_bytes;
    sink_(std::move(record));
}

/// What Ollana's clients ask before all else. An id that is refused is told to the book of devices.
devices::Door RelayUnit::at_the_door(http::ServerExchange& exchange) const
{
    const auto door = devices::judge_door(exchange.head(), *access_.access, loop_.wall());
    if (door == devices::Door::refused) {
        if (std::string id = devices::shown_id(exchange.head()); !id.empty()) {
            knocked_(std::move(id), exchange.peer().address);
        }
    }
    return door;
}

net::Task<void> RelayUnit::answer_door(http::ServerExchange& exchange, devices::Door door)
{
    const std::string& own_id = access_.access->rules().devices->own_id;
    return devices::answer_door(exchange, door, own_id, proxy::version_body(*scheduler_.snapshot()));
}

admin::Verdict RelayUnit::judge(http::ServerExchange& exchange) const
{
    return admin::judge(exchange.head(), exchange.peer(), access_.access.get(), *gate_, loop_.now(), loop_.wall());
}

/// herd's own routes, once the gate has let the request through.
net::Task<void> RelayUnit::handle_own(http::ServerExchange& exchange, admin::Verdict verdict)
{
    const http::RequestHead& head = exchange.head();
    if (verdict.refused) {
        return keys::refuse(exchange, std::move(*verdict.refused));
    }
    if (keys::KeysApi::owns(head.path())) {
        return keys_.handle(exchange, std::move(verdict));
    }
    if (devices::DevicesApi::owns(head.path())) {
        return devices_.handle(exchange);
    }
    if (dashboard::owns(head)) {
        return dashboard::serve(exchange);
    }
    if (admin::RecordsApi::owns(head.path()) && head.method != "DELETE") { // ending a request changes something
        return records_.handle(exchange, [this, &exchange] { return !judge(exchange).refused; });
    }
    return admin_.handle(exchange, std::move(verdict.key));
}

} // namespace herd::app
