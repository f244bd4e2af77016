#include "herd/bench/asker.hpp"

#include "herd/bench/own_request.hpp"

#include <algorithm>
#include <utility>

namespace herd::app::bench {

Asker::Asker(net::Loop& loop, base::Rng rng, Handle handle) : loop_(loop), rng_(rng), handle_(std::move(handle)), tasks_(loop, "benchmark") {}

void Asker::ask(Question question, Done done) { tasks_.spawn("request", carry_out(std::move(question), std::move(done))); }

net::Task<void> Asker::carry_out(Question question, Done done)
{
    OwnRequest request(loop_, base::make_request_id(rng_, loop_.wall()), std::move(question));
    const auto at = asked_.insert(asked_.end(), &request);
    co_await handle_(request);
    asked_.erase(at);
    done(request.told());
}

void Asker::leave()
{
    const auto all = asked_; // who leaves may end at once
    for (OwnRequest* const each : all) {
        if (std::ranges::find(asked_, each) != asked_.end()) {
            each->leave();
        }
    }
}

void Asker::take(const proxy::ExchangeRecord& record)
{
    const auto found = std::ranges::find(asked_, record.id, [](const OwnRequest* each) { return each->id(); });
    if (found != asked_.end()) {
        (*found)->take(record);
    }
}

} // namespace herd::app::bench
