// The part of the program that watches: the ledger, health, and what both are fed with.
#include "herd/admin/sent.hpp"
#include "herd/health/health_view.hpp"
#include "herd/herd_app.hpp"
#include "herd/on_loop.hpp"
#include "proxy/aliases.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace herd::app {

void HerdApp::build_ledger()
{
    LedgerOptions wanted;
    wanted.keep = options_.store.enabled;
    wanted.store.path = options_.store.path;
    wanted.store.limits = {options_.store.retention, options_.store.max_size};
    wanted.boot = fmt::format("{:x}", installation_.boot_id);
    EventVoices voices;
    voices.status = [this, started = main_loop().now()](const fleet::Snapshot& snapshot) {
        return admin::status(snapshot, {version(), ledger_->loop().now() - started, controls_->counts()});
    };
    voices.node = [this](const fleet::Snapshot& snapshot, std::size_t i) {
        return admin::node(snapshot, snapshot.nodes[i], ledger_->loop().now());
    };
    voices.request = [](const store::RequestRecord& one) { return record_json(one); };
    EventLimits limits;
    limits.viewers = options_.limits.event_viewers;
    ledger_ = std::make_unique<Ledger>(std::move(wanted), std::move(voices), limits);
    fleet_->on_snapshot([this](const std::shared_ptr<const fleet::Snapshot>& snapshot) {
        ledger_->snapshot(snapshot);
        if (beacon_) {
            beacon_->herd().ollana().set_routable(!snapshot->routable().empty());
        }
        if (pins_) {
            pins_->changed(snapshot);
        }
    });
}

void HerdApp::build_health()
{
    health::KeeperSources sources;
    sources.glance = [this](net::Loop& asker) {
        auto work = [this] { return glance(); };
        return on_loop(asker, main_loop(), std::move(work));
    };
    sources.stuck = [this](net::Loop& asker) { return stuck_from(asker); };
    sources.past = [this](net::Loop& asker) { return past_from(asker); };
    sources.judged = [this](const health::Report& report, bool changed) {
        ledger_->set_health_score(report.score);
        if (changed) {
            ledger_->hub().health(health::event_json(report));
        }
    };
    sources.popular = [this](std::map<std::string, health::History::Popular> models) {
        main_loop().dispatch([this, models = std::move(models)]() mutable {
            popular_ = std::move(models);
            preload_popular();
        });
    };
    health_ = std::make_unique<health::Keeper>(ledger_->loop(), health::KeeperOptions{.disk_path = options_.state_dir}, std::move(sources));
    ledger_->on_record([this](const store::RequestRecord& record) { health_->ended(record); });
    controls_->health = [this](net::Loop& asker) { return health_->report(asker); };
    controls_->queue_counts = [this](net::Loop& asker) { return health_->counts(asker); };
    controls_->fleet_limits = [this](net::Loop& asker) { return fleet_limits_from(asker); };
    controls_->ask_records = [this](net::Loop& asker, Ledger::Question question) { return ledger_->ask(asker, std::move(question)); };
    controls_->sync = [this](net::Loop& asker, admin::SyncRetry retry) { return sync_from(asker, std::move(retry)); };
    controls_->cancel = [this](net::Loop& asker, std::string id) { return cancel_from(asker, std::move(id)); };
}

net::Task<admin::FleetLimits> HerdApp::fleet_limits_from(net::Loop& asker)
{
    auto work = [this] {
        return admin::FleetLimits{.retries = static_cast<int>(options_.scheduler.retries),
                                  .queue_per_model = static_cast<std::size_t>(options_.scheduler.queue_per_model),
                                  .client_in_flight = options_.limits.client_in_flight};
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

/// What health begins with: a week, or as much of it as can be read in a moment.
net::Task<std::vector<health::Past>> HerdApp::past_from(net::Loop& asker)
{
    constexpr std::chrono::hours week{24 * 7};
    constexpr std::size_t most = 50'000;
    const auto all = std::make_shared<std::vector<health::Past>>();
    auto take = [all](const store::RequestRecord& record) {
        if (!record.wants_model() || record.seq < store::own_seq_min) { // another program's are no faults of this fleet
            return;
        }
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(record.total);
        all->push_back({record.at + took, health::finished_of(record)});
    };
    co_await ledger_->past(asker, clock_.wall() - week, most, std::move(take));
    co_return std::move(*all);
}

void HerdApp::build_bench()
{
    bench::RunnerParts parts{.fleet = fleet_.get(), .pulls = &shared_->pulls, .version = version(), .path = options_.state_dir + "/benchmarks.json", .rng = base::Rng(rng_.next())};
    for (const auto& relay : relays_) {
        parts.doors.push_back({&relay->loop(), &relay->asker()});
    }
    parts.bring = [this](proxy::WantedModel wanted, std::weak_ptr<proxy::PullWait> waiting) { sync_->bring(std::move(wanted), std::move(waiting)); };
    bench_ = std::make_unique<bench::Runner>(main_loop(), std::move(parts));
    controls_->benchmarks = [this](net::Loop& asker, bench::Inquiry inquiry) { return benchmarks_from(asker, std::move(inquiry)); };
}

net::Task<bench::Answer> HerdApp::benchmarks_from(net::Loop& asker, bench::Inquiry inquiry)
{
    auto start = [this, inquiry = std::move(inquiry)](auto done) { bench_->answer(inquiry, std::move(done)); };
    co_return co_await answer_from<bench::Answer>(asker, main_loop(), std::move(start));
}

net::Task<std::string> HerdApp::sync_from(net::Loop& asker, admin::SyncRetry retry)
{
    auto work = [this, retry = std::move(retry)] {
        if (retry.wanted) {
            sync_->retry(retry.model, retry.node);
        }
        return sync_->json();
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

net::Task<bool> HerdApp::cancel_from(net::Loop& asker, std::string id)
{
    for (const auto& relay : relays_) {
        auto work = [&unit = *relay, id] { return unit.cancel(id); };
        if (co_await on_loop(asker, relay->loop(), std::move(work))) {
            co_return true;
        }
    }
    co_return false;
}

/// What health looks at. Thread: the main loop.
health::Glance HerdApp::glance()
{
    const store::TraceHealth store = ledger_->store_health();
    health::Glance now{.fleet = fleet_->publish(), .records_lost = store.dropped + ledger_->dropped()};
    now.own.version = version();
    now.own.discovery = beacon_ != nullptr;
    now.own.discovery_port = options_.discovery.port;
    now.own.queue_per_model = static_cast<int>(options_.scheduler.queue_per_model);
    now.own.state_error = pool_->fault();
    now.own.records_error = store.working ? std::string{} : store.fault;
    for (const sync::Entry& entry : sync_->plan().entries()) {
        if (entry.state == sync::State::failed) {
            now.own.required_failed.push_back({entry.node_name, entry.model, entry.reason, entry.failures, entry.next_try});
        }
    }
    for (const pins::Entry& entry : pins_->plan().entries()) {
        if (entry.failures > 0 && entry.state != pins::State::resident) {
            now.own.pins_failed.push_back({entry.node_name, entry.model, entry.reason, entry.failures, entry.next_try});
        }
    }
    if (const auto& aliases = policy_->proxy()->aliases; aliases != nullptr) {
        for (const proxy::Alias& each : aliases->resolved()) {
            now.own.aliases.push_back({each.name, each.model});
        }
    }
    for (const admin::Sent& each : admin::sent_of(*policy_->proxy(), nullptr)) {
        now.own.sent.push_back({each.frontend, each.node});
    }
    if (beacon_) {
        now.own.open_join = options_.discovery.join == JoinMode::open;
        now.own.port_heard = beacon_->herd().options().listens;
        now.own.blocked_interfaces = beacon_->blocked_interfaces();
    }
    return now;
}

void HerdApp::record(proxy::ExchangeRecord&& record)
{
    const bool ours = record.api == "admin"; // no request to the fleet
    requests_total_.fetch_add(ours ? 0 : 1, std::memory_order_relaxed);
    if (!ours && (record.status >= 500 || record.termination.starts_with('N'))) {
        requests_failed_.fetch_add(1, std::memory_order_relaxed);
    }
    ledger_->put(std::move(record));
}

net::Task<std::vector<proxy::InFlight>> HerdApp::in_flight_from(net::Loop& asker) { return from_relays(asker, &RelayUnit::in_flight); }
net::Task<std::vector<health::Stuck>> HerdApp::stuck_from(net::Loop& asker) { return from_relays(asker, &RelayUnit::stuck); }

template <class Look>
net::Task<std::invoke_result_t<Look, RelayUnit&>> HerdApp::from_relays(net::Loop& asker, Look look)
{
    std::invoke_result_t<Look, RelayUnit&> all;
    for (const auto& relay : relays_) {
        auto work = [&unit = *relay, look] { return (unit.*look)(); };
        auto some = co_await on_loop(asker, relay->loop(), std::move(work));
        if (all.empty()) {
            all = std::move(some);
        } else {
            all.insert(all.end(), std::move_iterator(some.begin()), std::move_iterator(some.end()));
        }
    }
    co_return all;
}

net::Task<MetricsScene> HerdApp::scene_from(net::Loop& asker)
{
    auto work = [this] {
        MetricsScene scene{.version = version(), .counts = controls_->counts()};
        own_answers_.each_unrecorded([&](int status, std::uint64_t count) { scene.unrecorded.push_back({status, count}); });
        if (beacon_) {
            beacon_->herd().counters().each([&](std::string_view type, std::string_view result, std::uint64_t count) {
                scene.datagrams.push_back({std::string{type}, std::string{result}, count});
            });
            beacon_->herd().ollana().each([&](std::string_view result, std::uint64_t count) {
                scene.datagrams.push_back({"ollana", std::string{result}, count});
            });
        }
        return scene;
    };
    co_return co_await on_loop(asker, main_loop(), std::move(work));
}

} // namespace herd::app
