#include "herd/relay_unit.hpp"

#include "herd/dashboard/page.hpp"

namespace herd::app {

RelayUnit::RelayUnit(net::Loop& loop, RelayParts parts)
    : loop_(loop), network_(net::make_network(loop)), pool_(loop, *network_, parts.pool),
      scheduler_(loop, *parts.fleet, parts.index),
      proxy_(loop, scheduler_, pool_, std::move(parts.proxy), std::move(parts.shared), parts.rng, std::move(parts.sink)),
      admin_(scheduler_, std::move(parts.controls)),
      records_(*parts.ledger, std::move(parts.in_flight), std::move(parts.scene)),
      server_(loop, parts.server, [this](http::ServerExchange& exchange) { return handle(exchange); }, proxy::error_answer),
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

void RelayUnit::drain(base::Instant deadline, net::Callback done)
{
    tasks_.spawn("drain", drain_and_tell(deadline, std::move(done)));
}

net::Task<void> RelayUnit::drain_and_tell(base::Instant deadline, net::Callback done)
{
    co_await server_.drain(deadline);
    done();
}

net::Task<void> RelayUnit::handle(http::ServerExchange& exchange)
{
    const http::RequestHead& head = exchange.head();
    if (dashboard::owns(head)) {
        return dashboard::serve(exchange);
    }
    if (admin::RecordsApi::owns(head.path())) {
        return records_.handle(exchange);
    }
    return admin::Admin::owns(head.path()) ? admin_.handle(exchange) : proxy_.handle(exchange);
}

} // namespace herd::app
