#include "http/pool.hpp"

#include "http/internal/place.hpp"
#include "http/tunnel.hpp"
#include "net/tls.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

namespace herd::http {

struct Pool::Impl {
    struct Idle {
        Idle(Impl& owner, std::unique_ptr<ClientConnection> c)
            : connection(std::move(c)),
              deadline(owner.loop, [&owner, this] { owner.forget(*this); })
        {
            deadline.set_after(owner.options.idle_timeout);
            watch(owner);
        }
        /// Whatever an idle connection has to say, it is no longer of use. (A watch may be called although there
        /// is nothing to read.)
        void watch(Impl& owner)
        {
            connection->stream().watch([&owner, this] {
                std::array<char, 1> byte{};
                if (connection->stream().try_read(byte).would_block()) {
                    watch(owner);
                } else {
                    owner.forget(*this);
                }
            });
        }
        std::unique_ptr<ClientConnection> connection; // its place says whereto, and in which way
        net::Deadline deadline;
    };

    Impl(net::Loop& l, net::Network& n, PoolOptions o) : loop(l), network(n), options(o) {}

    void forget(Idle& idle)
    {
        const auto found = idle_by_endpoint.find(idle.connection->place().to);
        if (found == idle_by_endpoint.end()) {
            return;
        }
        const auto removed = std::erase_if(found->second, [&](const auto& entry) { return entry.get() == &idle; });
        idle_total -= removed;
        if (found->second.empty()) {
            idle_by_endpoint.erase(found);
        }
    }

    std::unique_ptr<ClientConnection> take_idle(const base::Endpoint& to, const base::PeerTrust* trust)
    {
        const auto found = idle_by_endpoint.find(to);
        if (found == idle_by_endpoint.end()) {
            return nullptr;
        }
        // The youngest: its socket is warm, and the oldest may time out.
        auto& all_there = found->second;
        auto last = std::prev(all_there.end());
        while ((*last)->connection->place().trust != trust) { // rare: the same endpoint, asked in more than one way
            if (last == all_there.begin()) {
                return nullptr;
            }
            --last;
        }
        auto connection = std::move((*last)->connection);
        connection->stream().unwatch();
        all_there.erase(last);
        --idle_total;
        if (all_there.empty()) {
            idle_by_endpoint.erase(found);
        }
        return connection;
    }

    net::Loop& loop;
    net::Network& network;
    PoolOptions options;
    internal::Place all; // head of the ring of all connections, idle or in use
    std::unordered_map<base::Endpoint, std::vector<std::unique_ptr<Idle>>> idle_by_endpoint;
    std::size_t idle_total{0};
};

Pool::Pool(net::Loop& loop, net::Network& network, PoolOptions options)
    : impl_(std::make_unique<Impl>(loop, network, options))
{
}

Pool::~Pool() = default;

std::size_t Pool::idle() const { return impl_->idle_total; }
void Pool::drop(base::Endpoint to)
{
    if (const auto found = impl_->idle_by_endpoint.find(to); found != impl_->idle_by_endpoint.end()) {
        impl_->idle_total -= found->second.size();
        impl_->idle_by_endpoint.erase(found);
    }
}

void Pool::give_up(base::Endpoint to)
{
    drop(to);
    for (auto* place = impl_->all.next(); place->connection != nullptr; place = place->next()) {
        if (place->to == to) {
            place->connection->give_up(); // whoever waits wakes up later, from the loop's queue
        }
    }
}

net::Task<base::Result<Pool::Taken>> Pool::take(base::Endpoint to, bool fresh, base::Instant deadline,
                                               Trust trust, base::Duration connect_timeout)
{
    Impl& p = *impl_;
    Taken taken;
    if (!fresh) {
        taken.connection = p.take_idle(to, trust.get());
        if (taken.connection) {
            taken.reused = true;
            co_return taken;
        }
    }
    const auto started = p.loop.now();
    const auto within = connect_timeout > base::Duration{} ? connect_timeout : p.options.connect_timeout;
    const auto patience = trust && connect_timeout <= base::Duration{} ? std::max(p.options.tls_timeout, within) : within;
    const auto until = std::min(deadline, started + patience);
    auto stream = co_await p.network.connect(to, until);
    if (!stream) {
        co_return std::unexpected(std::move(stream.error()));
    }
    const base::PeerTrust* const peer = trust.get();
    if (trust && trust->tunnel) {
        stream = co_await open_tunnel(p.loop, std::move(*stream), *trust->tunnel, until);
        if (!stream) {
            co_return std::unexpected(std::move(stream.error()));
        }
    }
    if (trust && trust->tls) {
        stream = co_await net::tls_connect(p.loop, std::move(*stream), std::move(trust), until);
        if (!stream) {
            co_return std::unexpected(std::move(stream.error()));
        }
    }
    taken.connection = std::make_unique<ClientConnection>(p.loop, std::move(*stream));
    taken.connection->place().join(p.all, *taken.connection, to, peer);
    taken.connect = p.loop.now() - started;
    co_return taken;
}

std::unique_ptr<ClientConnection> Pool::take_idle(const base::Endpoint& to, const base::PeerTrust* trust)
{
    return impl_->take_idle(to, trust);
}

void Pool::give_back(std::unique_ptr<ClientConnection> connection)
{
    Impl& p = *impl_;
    if (!connection || !connection->reusable() || p.idle_total >= p.options.idle_total
        || p.options.idle_per_endpoint == 0) {
        return;
    }
    auto& idle = p.idle_by_endpoint[connection->place().to];
    if (idle.size() >= p.options.idle_per_endpoint) {
        return;
    }
    idle.push_back(std::make_unique<Impl::Idle>(p, std::move(connection)));
    ++p.idle_total;
}

} // namespace herd::http
