#pragma once
// Asks the proxy of one relay loop as a client would, from inside: where a connection hands over the requests that it read,
// behind keys, TLS and frontends, before the queue. So a benchmark needs no key, no secret is made for it, and everything
// that takes time for a client but the socket takes time here too.
#include "base/random.hpp"
#include "herd/bench/prompts.hpp"
#include "herd/bench/tally.hpp"
#include "http/server.hpp"
#include "net/task_group.hpp"
#include "proxy/record.hpp"

#include <functional>
#include <list>

namespace herd::app::bench {

class OwnRequest;

/// Thread: its relay loop.
class Asker {
public:
    using Handle = std::function<net::Task<void>(http::ServerExchange&)>;
    using Done = std::function<void(Told)>;

    /// `handle`: the proxy's.
    Asker(net::Loop& loop, base::Rng rng, Handle handle);

    /// `done` is called once, on this loop, when the answer has ended or failed.
    void ask(Question question, Done done);
    /// Ends all of them, as clients that leave do.
    void leave();
    /// Every record passes here: those of own requests are looked at.
    void ended(const proxy::ExchangeRecord& record)
    {
        if (!asked_.empty()) {
            take(record);
        }
    }

private:
    net::Task<void> carry_out(Question question, Done done);
    void take(const proxy::ExchangeRecord& record);

    net::Loop& loop_;
    base::Rng rng_;
    Handle handle_;
    std::list<OwnRequest*> asked_; ///< in flight
    net::TaskGroup tasks_;
};

} // namespace herd::app::bench
