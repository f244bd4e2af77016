#include "herd/records/ledger.hpp"

#include "base/log.hpp"
#include "herd/access_log.hpp"
#include "herd/admin/views.hpp"
#include "herd/on_loop.hpp"
#include "herd/records/answers.hpp"

#include <algorithm>

namespace herd::app {

namespace {
/// How long records gather before they are taken, and how long or how many before they go to the disk. Both times
/// and the commit are what a kill -9 costs: less than a second.
constexpr base::Duration linger = std::chrono::milliseconds{40};
constexpr base::Duration save_within = std::chrono::milliseconds{250};
constexpr std::size_t saved_together = 1000;
constexpr base::Duration store_tick = std::chrono::seconds{30};
constexpr std::size_t questions_max = 64;
} // namespace

Ledger::Ledger(LedgerOptions options, EventVoices voices, EventLimits limits)
    : options_(std::move(options)), hub_(loop_, options_.boot, std::move(voices), limits),
      last_seq_(static_cast<std::uint64_t>(clock_.wall().time_since_epoch().count())), began_(clock_.wall()), store_timer_(loop_), save_timer_(loop_),
      mailbox_(loop_, options_.queue_max, linger, [this](std::vector<proxy::ExchangeRecord>& batch) { take(batch); })
{
}

Ledger::~Ledger()
{
    if (thread_.joinable()) { // a program that never ran
        stop();
    }
}

void Ledger::start()
{
    if (options_.keep) {
        store_ = std::make_unique<store::TraceStore>(options_.store, clock_);
    }
    readers_ = std::make_unique<net::Blocking>("herd-reading", questions_max);
    watch_store();
    thread_ = std::thread([this] { loop_.run(); }); // tidy: allow(banned-call) joined in stop()
}

void Ledger::stop()
{
    loop_.post([this] {
        mailbox_.drain();
        save();
        store_timer_.cancel();
        hub_.close();
        loop_.stop();
    });
    thread_.join();
    readers_.reset();
    store_.reset(); // writes what is queued
}

void Ledger::snapshot(std::shared_ptr<const fleet::Snapshot> snapshot)
{
    loop_.post([this, snapshot = std::move(snapshot)]() mutable { hub_.snapshot(std::move(snapshot)); });
}

void Ledger::end_events()
{
    loop_.post([this] { hub_.close(); });
}

void Ledger::set_limits(const store::TraceLimits& limits)
{
    if (store_) {
        store_->set_limits(limits);
    }
}

store::TraceHealth Ledger::store_health() const { return store_ ? store_->health() : store::TraceHealth{}; }

void Ledger::take(std::vector<proxy::ExchangeRecord>& batch)
{
    for (proxy::ExchangeRecord& exchange : batch) {
        auto record = std::make_shared<store::RequestRecord>();
        store_form(std::move(exchange), *record);
        record->seq = ++last_seq_;
        record->num_ctx_used = contexts_.used_by(*record, hub_.latest());
        write_access_line(*record);
        metrics_.count(*record);
        for (const auto& listener : listeners_) {
            listener(*record);
        }
        hub_.ended(record);
        if (store_) {
            unsaved_.push_back(record);
        }
        recent_.push_back(std::move(record));
    }
    if (unsaved_.size() >= saved_together) {
        save();
    } else if (!unsaved_.empty() && !std::exchange(saving_soon_, true)) {
        save_timer_.call_after(save_within, [this] { save(); });
    }
    while (recent_.size() > options_.recent_max + unsaved_.size()) { // what is not on its way to the disk is known here
        recent_.pop_front();
    }
    if (const std::size_t dropped = mailbox_.dropped(); dropped > told_dropped_) {
        log::warn("records", "records_dropped", {{"count", dropped - told_dropped_}, {"why", "more requests end than can be written down"}});
        told_dropped_ = dropped;
    }
}

/// Many in one transaction cost the disk little more than one.
void Ledger::save()
{
    saving_soon_ = false;
    save_timer_.cancel();
    if (store_ && !unsaved_.empty()) {
        store_->add(std::exchange(unsaved_, {}));
    }
}

/// Old records are forgotten also on a quiet day.
void Ledger::watch_store()
{
    store_timer_.call_after(store_tick, [this] {
        if (store_) {
            store_->tick();
        }
        watch_store();
    });
}

Ledger::Records Ledger::recent()
{
    mailbox_.drain();
    return {recent_.begin(), recent_.end()};
}

net::Task<void> Ledger::hear_all(net::Loop& asker)
{
    for (net::Loop* writer : writers_) {
        co_await on_loop(asker, *writer, [] { return true; });
    }
}

/// `work(reader, recent)` runs where it may block, and makes the answer.
template <class Work>
net::Task<LedgerAnswer> Ledger::read(net::Loop& asker, Work work)
{
    co_await hear_all(asker);
    auto fetch = [this] { return recent(); };
    Records memory = co_await on_loop(asker, loop_, std::move(fetch));
    std::optional<store::TraceReader> reader;
    if (options_.keep) {
        reader.emplace(options_.store.path, clock_);
    }
    auto job = [reader = std::move(reader), memory = std::move(memory), work = std::move(work)]() mutable {
        return work(reader, memory);
    };
    auto answer = co_await readers_->ask(asker, std::move(job));
    if (!answer) {
        co_return LedgerAnswer{503, admin::error("too many questions about records at once")};
    }
    co_return std::move(*answer);
}

net::Task<LedgerAnswer> Ledger::list(net::Loop& asker, store::TraceFilter filter)
{
    auto work = [filter = std::move(filter)](const std::optional<store::TraceReader>& reader, const Records& memory) {
        return answer_list(reader, memory, filter);
    };
    co_return co_await read(asker, std::move(work));
}

net::Task<LedgerAnswer> Ledger::find(net::Loop& asker, std::string id)
{
    auto work = [id = std::move(id)](const std::optional<store::TraceReader>& reader, const Records& memory) {
        return answer_one(reader, memory, id);
    };
    co_return co_await read(asker, std::move(work));
}

net::Task<LedgerAnswer> Ledger::usage(net::Loop& asker, store::UsageQuery query)
{
    auto work = [query](const std::optional<store::TraceReader>& reader, const Records& memory) {
        return answer_usage(reader, memory, query);
    };
    co_return co_await read(asker, std::move(work));
}

net::Task<LedgerAnswer> Ledger::ask(net::Loop& asker, Question question)
{
    co_return co_await read(asker, std::move(question));
}

net::Task<void> Ledger::past(net::Loop& asker, base::WallTime since, std::size_t most,
                             std::function<void(const store::RequestRecord&)> take)
{
    auto question = [this, since, most, take = std::move(take)](const std::optional<store::TraceReader>& reader, const Records&) {
        if (reader) {
            if (const auto done = reader->past(since, began_, most, take); !done) {
                log::info("records", "past_not_recalled", {{"why", done.error().message()}});
            }
        }
        return LedgerAnswer{};
    };
    (void)co_await read(asker, std::move(question)); // no room for the question: nothing is recalled
}

net::Task<std::string> Ledger::metrics(net::Loop& asker, MetricsScene scene)
{
    co_await hear_all(asker);
    auto work = [this, scene = std::move(scene)]() mutable {
        mailbox_.drain(); // who looks after an answer finds it counted
        metrics_.count_unrecorded(scene.unrecorded);
        scene.store = store_health();
        scene.records_dropped = dropped();
        scene.event_viewers = hub_.viewers();
        scene.health_score = health_score_;
        return metrics_.text(hub_.latest(), scene);
    };
    co_return co_await on_loop(asker, loop_, std::move(work));
}

} // namespace herd::app
