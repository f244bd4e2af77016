#pragma once
// Where every exchange ends up: one loop of its own, so that writing things down costs the relay loops a move.
// It writes the access line, counts the metrics, tells the viewers, keeps the last records in memory and hands all
// of them to the store; and it answers questions about them.
#include "herd/records/event_hub.hpp"
#include "herd/records/loaded_contexts.hpp"
#include "herd/records/metrics.hpp"
#include "herd/records/record_view.hpp"
#include "net/blocking.hpp"
#include "net/mailbox.hpp"
#include "store/trace_filter.hpp"
#include "store/trace_reader.hpp"
#include "store/trace_store.hpp"
#include "store/usage.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace herd::app {

struct LedgerOptions {
    bool keep{true};              ///< in the database; else only the last ones, in memory
    store::TraceOptions store{};
    std::size_t queue_max{65536}; ///< records between the relay loops and the ledger
    std::size_t recent_max{2000}; ///< records in memory
    std::string boot{"0"};        ///< of the event ids
};

/// An answer to a question: status and JSON.
struct LedgerAnswer {
    int status{200};
    std::string body{};
};

/// Thread: any, unless it says otherwise.
class Ledger {
public:
    using Records = std::vector<std::shared_ptr<const store::RequestRecord>>;

    Ledger(LedgerOptions options, EventVoices voices, EventLimits limits = {});
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    /// Loops that put(): before a question is answered each of them has ended the turn it is in. The last byte of an
    /// answer leaves before its record is put, in the same turn; who asks after that byte finds the record. Set before
    /// start(); the loops run until nobody asks any more.
    void listens_to(std::vector<net::Loop*> loops) { writers_ = std::move(loops); }
    /// Runs the loop on a thread of its own.
    void start();
    /// Writes everything down, ends the thread. Nothing may be put any more.
    void stop();

    void put(proxy::ExchangeRecord&& record) { mailbox_.put(std::move(record)); }
    void snapshot(std::shared_ptr<const fleet::Snapshot> snapshot);
    void set_limits(const store::TraceLimits& limits);
    /// All event streams end, and no more begin.
    void end_events();

    /// {"requests":[…], "next"?: cursor}: newest first, those not on disk yet included.
    [[nodiscard]] net::Task<LedgerAnswer> list(net::Loop& asker, store::TraceFilter filter);
    /// One record with its decision; 404 when it is not known.
    [[nodiscard]] net::Task<LedgerAnswer> find(net::Loop& asker, std::string id);
    /// {"by","bucket_s","since","until","rows":[…]}.
    [[nodiscard]] net::Task<LedgerAnswer> usage(net::Loop& asker, store::UsageQuery query);
    /// Anything else: `question` runs where it may block, and makes the answer.
    using Question = std::function<LedgerAnswer(const std::optional<store::TraceReader>&, const Records& memory)>;
    [[nodiscard]] net::Task<LedgerAnswer> ask(net::Loop& asker, Question question);
    /// What earlier runs left in the database, oldest first, `take`n where it may block: the newest `most` of what
    /// arrived since then. Returns when all was taken. Nothing where no records are kept.
    [[nodiscard]] net::Task<void> past(net::Loop& asker, base::WallTime since, std::size_t most,
                                       std::function<void(const store::RequestRecord&)> take);
    /// Prometheus text. `scene`: what the rest of the program knows; the ledger adds its own.
    [[nodiscard]] net::Task<std::string> metrics(net::Loop& asker, MetricsScene scene);

    /// For the metrics. Thread: the ledger's loop.
    void set_health_score(int score) { health_score_ = score; }
    /// Thread: the ledger's loop.
    [[nodiscard]] EventHub& hub() { return hub_; }
    /// Thread: any.
    [[nodiscard]] const EventLimits& event_limits() const { return hub_.limits(); }
    [[nodiscard]] net::Loop& loop() { return loop_; }
    [[nodiscard]] store::TraceHealth store_health() const;
    /// Exchanges that left no record because everything was full.
    [[nodiscard]] std::size_t dropped() const { return mailbox_.dropped(); }
    /// Called with every record, on the ledger's loop. Set before start(), any number.
    void on_record(std::function<void(const store::RequestRecord&)> listener) { listeners_.push_back(std::move(listener)); }

private:
    void take(std::vector<proxy::ExchangeRecord>& batch);
    void watch_store();
    void save();
    [[nodiscard]] net::Task<void> hear_all(net::Loop& asker);
    /// All there are in memory, newest last, after taking in what is on its way. Thread: the loop's.
    [[nodiscard]] Records recent();
    template <class Work>
    [[nodiscard]] net::Task<LedgerAnswer> read(net::Loop& asker, Work work);

    const LedgerOptions options_;
    base::SystemClock clock_;
    net::Loop loop_;
    EventHub hub_;
    Metrics metrics_{};
    std::uint64_t last_seq_{0};
    base::WallTime began_{};
    LoadedContexts contexts_;
    std::deque<std::shared_ptr<const store::RequestRecord>> recent_;
    std::vector<std::function<void(const store::RequestRecord&)>> listeners_;
    std::vector<net::Loop*> writers_;
    std::optional<int> health_score_;
    store::SharedRecords unsaved_;
    bool saving_soon_{false};
    net::Timer store_timer_;
    net::Timer save_timer_;
    std::size_t told_dropped_{0};
    net::Mailbox<proxy::ExchangeRecord> mailbox_;
    std::unique_ptr<store::TraceStore> store_;
    std::unique_ptr<net::Blocking> readers_;
    std::thread thread_; // tidy: allow(banned-call) the ledger's loop, joined in stop()
};

} // namespace herd::app
