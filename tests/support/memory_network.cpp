#include "support/memory_network.hpp"

#include <algorithm>

namespace herd::testing {

class MemoryListener final : public net::Listener {
public:
    MemoryListener(MemoryWorld& world, net::Loop& loop, base::Endpoint local)
        : world_(&world), local_(local), arrived_(loop)
    {
        world_->listeners_[local_] = this;
    }
    ~MemoryListener() override { close(); }

    net::Task<net::Result<std::unique_ptr<net::Stream>>> accept() override
    {
        while (open_ && waiting_.empty()) {
            co_await arrived_.wait();
            if (waiting_.empty() && open_ && !std::exchange(offered_, false)) {
                co_return base::fail(base::Errc::cancelled); // woken by nobody: the task was cancelled
            }
        }
        if (!open_) {
            co_return base::fail(base::Errc::cancelled);
        }
        auto stream = std::move(waiting_.front());
        waiting_.pop_front();
        co_return std::unique_ptr<net::Stream>(std::move(stream));
    }

    void close() noexcept override
    {
        if (std::exchange(open_, false)) {
            if (world_ != nullptr) {
                world_->listeners_.erase(local_);
            }
            waiting_.clear();
            arrived_.notify();
        }
    }

    [[nodiscard]] base::Endpoint local() const override { return local_; }

    void offer(std::unique_ptr<MemoryStream> stream)
    {
        waiting_.push_back(std::move(stream));
        offered_ = true;
        arrived_.notify();
    }
    void forget_world() { world_ = nullptr; }

private:
    MemoryWorld* world_;
    base::Endpoint local_;
    net::Event arrived_;
    std::deque<std::unique_ptr<MemoryStream>> waiting_;
    bool open_{true};
    bool offered_{false};
};

class MemoryNetwork final : public net::Network {
public:
    MemoryNetwork(MemoryWorld& world, net::Loop& loop, base::IpAddress own) : world_(world), loop_(loop), own_(own) {}

    net::Result<std::unique_ptr<net::Listener>> listen(net::BoundSocket socket) override
    {
        base::Endpoint at = socket.local;
        if (at.address.is_unspecified()) {
            at.address = own_;
        }
        if (at.port == 0) {
            at.port = ++world_.next_port_;
        }
        if (world_.listeners_.contains(at)) {
            return base::fail(base::Errc::in_use, at.text());
        }
        return std::unique_ptr<net::Listener>(std::make_unique<MemoryListener>(world_, loop_, at));
    }

    net::Task<net::Result<std::unique_ptr<net::Stream>>> connect(base::Endpoint to, base::Instant deadline) override
    {
        const auto arrival = loop_.now() + 2 * world_.stream_options.latency;
        const bool lost = world_.unreachable_.contains(to.address) || world_.unreachable_.contains(own_);
        net::Timer timer(loop_);
        if (lost || arrival > deadline) {
            const bool came = co_await timer.wait_until(deadline);
            co_return base::fail(came ? base::Errc::timed_out : base::Errc::cancelled, to.text(), base::Source::node,
                                 base::Retry::always);
        }
        if (arrival > loop_.now() && !co_await timer.wait_until(arrival)) {
            co_return base::fail(base::Errc::cancelled, to.text(), base::Source::node, base::Retry::always);
        }
        const auto listener = world_.listeners_.find(to);
        if (listener == world_.listeners_.end()) {
            co_return base::fail(base::Errc::refused, to.text(), base::Source::node, base::Retry::always);
        }
        auto [client, server] = world_.connect(own_, to);
        listener->second->offer(std::move(server));
        co_return std::unique_ptr<net::Stream>(std::move(client));
    }

    net::Task<net::Result<std::vector<base::IpAddress>>> resolve(std::string host, base::Instant deadline) override
    {
        (void)deadline;
        if (const auto numeric = base::IpAddress::parse(host)) {
            co_return std::vector{*numeric};
        }
        if (const auto found = world_.names_.find(host); found != world_.names_.end()) {
            co_return found->second;
        }
        co_return base::fail(base::Errc::unreachable, "no address for " + host);
    }

private:
    MemoryWorld& world_;
    net::Loop& loop_;
    base::IpAddress own_;
};

MemoryWorld::~MemoryWorld()
{
    for (const auto& [endpoint, listener] : listeners_) {
        listener->forget_world();
    }
}

std::unique_ptr<net::Network> MemoryWorld::host(base::IpAddress address)
{
    return std::make_unique<MemoryNetwork>(*this, loop_, address);
}

StreamPair MemoryWorld::connect(base::IpAddress from, base::Endpoint to)
{
    std::erase_if(links_, [](const Link& link) { return link.there.expired() && link.back.expired(); });
    const auto there = std::make_shared<Pipe>(loop_, stream_options);
    const auto back = std::make_shared<Pipe>(loop_, stream_options);
    const base::Endpoint local{from, ++next_port_};
    links_.push_back({from, to.address, there, back});
    ++connections_made_;
    return {std::make_unique<MemoryStream>(back, there, local, to),
            std::make_unique<MemoryStream>(there, back, to, local)};
}

void MemoryWorld::set_unreachable(base::IpAddress host, bool unreachable)
{
    unreachable ? (void)unreachable_.insert(host) : (void)unreachable_.erase(host);
    for (const Link& link : links_) {
        if (link.a != host && link.b != host) {
            continue;
        }
        const bool stalled = unreachable_.contains(link.a) || unreachable_.contains(link.b);
        for (const auto& pipe : {link.there.lock(), link.back.lock()}) {
            if (pipe) {
                pipe->set_stalled(stalled);
            }
        }
    }
}

void MemoryWorld::kill(base::IpAddress host)
{
    std::vector<MemoryListener*> gone;
    for (const auto& [endpoint, listener] : listeners_) {
        if (endpoint.address == host) {
            gone.push_back(listener);
        }
    }
    for (MemoryListener* listener : gone) {
        listener->close();
    }
    for (const Link& link : links_) {
        if (link.a == host || link.b == host) {
            for (const auto& pipe : {link.there.lock(), link.back.lock()}) {
                if (pipe) {
                    pipe->reset();
                }
            }
        }
    }
}

void MemoryWorld::set_name(std::string name, std::vector<base::IpAddress> addresses)
{
    names_[std::move(name)] = std::move(addresses);
}

std::size_t MemoryWorld::connections_open() const
{
    return static_cast<std::size_t>(std::ranges::count_if(links_, [](const Link& link) {
        const auto there = link.there.lock();
        const auto back = link.back.lock();
        return there && back && !there->reader_closed && !back->reader_closed;
    }));
}

} // namespace herd::testing
