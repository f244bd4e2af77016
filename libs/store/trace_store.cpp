#include "store/trace_store.hpp"

#include "base/bounded_queue.hpp"
#include "base/log.hpp"
#include "net/blocking.hpp"
#include "store/internal/trace_writer.hpp"

#include <mutex>
#include <utility>

namespace herd::store {

struct TraceStore::State {
    State(TraceOptions given, const base::Clock& time)
        : options(std::move(given)), queue(options.queue_max, base::WhenFull::reject), limits(options.limits),
          writer(options.path, time)
    {
    }

    /// On the writer thread: everything that is queued, in transactions of bounded size; and, little by little, sums of
    /// the past.
    void drain()
    {
        constexpr std::size_t batch_max = 1000;
        SharedRecords batch;
        for (;;) {
            batch.clear();
            TraceLimits now;
            {
                const std::lock_guard lock(mutex);
                while (batch.size() < batch_max && !queue.empty()) {
                    batch.push_back(*queue.pop());
                }
                now = limits;
            }
            if (!batch.empty()) {
                writer.write(batch);
            }
            writer.maintain(now);
            const bool more = writer.roll();
            tell(writer.picture().working, batch.size());
            const std::lock_guard lock(mutex);
            picture = writer.picture();
            if (queue.empty() && (!more || stopping)) {
                scheduled = false;
                return;
            }
        }
    }

    /// Once per flip.
    void tell(bool good, std::size_t count)
    {
        if (good == working) {
            return;
        }
        working = good;
        if (good) {
            log::info("store", "records_kept_again", {{"file", options.path}});
        } else {
            log::warn("store", "records_not_kept",
                      {{"file", options.path},
                       {"why", writer.picture().fault},
                       {"lost", count},
                       {"what", "requests are served as before; their records are dropped until this is mended"}});
        }
    }

    const TraceOptions options;
    mutable std::mutex mutex;
    base::BoundedQueue<std::shared_ptr<const RequestRecord>> queue; // this and the next five: under the mutex
    TraceLimits limits;
    bool scheduled{false};
    bool stopping{false};
    bool told_full{false};
    TraceHealth picture{};
    internal::TraceWriter writer; // this and the next: the writer thread's
    bool working{true};
    net::Blocking thread{"herd-store", 4}; // last: ends first
};

TraceStore::TraceStore(TraceOptions options, const base::Clock& clock)
    : state_(std::make_unique<State>(std::move(options), clock))
{
    tick(); // opens the file
}

TraceStore::~TraceStore()
{
    const std::lock_guard lock(state_->mutex); // and then its thread ends, with what it does
    state_->stopping = true; // the past can be added up another time
}

void TraceStore::add(SharedRecords records)
{
    bool full = false;
    {
        const std::lock_guard lock(state_->mutex);
        for (auto& record : records) {
            full = !state_->queue.push(std::move(record)) || full;
        }
        full = full && !std::exchange(state_->told_full, true);
        if (!std::exchange(state_->scheduled, true)) {
            state_->scheduled = state_->thread.submit([state = state_.get()] { state->drain(); });
        }
    }
    if (full) {
        log::warn("store", "records_dropped", {{"why", "the disk is slower than the requests"}, {"file", state_->options.path}});
    }
}

void TraceStore::set_limits(const TraceLimits& limits)
{
    const std::lock_guard lock(state_->mutex);
    state_->limits = limits;
}

TraceHealth TraceStore::health() const
{
    const std::lock_guard lock(state_->mutex);
    TraceHealth health = state_->picture;
    health.queued = state_->queue.size();
    health.dropped += state_->queue.dropped();
    return health;
}

const std::string& TraceStore::path() const { return state_->options.path; }

} // namespace herd::store
