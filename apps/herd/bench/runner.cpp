#include "herd/bench/runner.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"
#include "herd/admin/views.hpp"
#include "herd/on_loop.hpp"
#include "store/state_file.hpp"

#include <utility>

#include <fmt/format.h>

namespace herd::app::bench {

namespace {

constexpr std::size_t file_bytes_max = std::size_t{64} * 1024 * 1024;

std::string why_not_pulled(const std::string& model, const base::Error& error)
{
    if (error.code == base::Errc::queue_full) {
        return fmt::format("'{}' was not pulled: too much is being pulled already", model);
    }
    return fmt::format("'{}' was not pulled: {}", model, error.context.empty() ? "there is no node for it" : error.context);
}

} // namespace

Runner::Runner(net::Loop& loop, RunnerParts parts, RunnerOptions options)
    : loop_(loop), parts_(std::move(parts)), options_(options), sampler_(loop), workers_(loop, "benchmark.workers"), tasks_(loop, "benchmark")
{
}

void Runner::load()
{
    auto text = store::read_state_file(parts_.path, file_bytes_max);
    if (!text) {
        if (text.error().code != base::Errc::not_found) {
            log::warn("bench", "benchmarks_unreadable", {{"why", text.error().message()}});
        }
        return;
    }
    if (auto read = book_.read(*text); !read) {
        store::set_aside(parts_.path);
        log::warn("bench", "benchmarks_unreadable", {{"why", read.error().context}, {"file", parts_.path + ".bad"}});
    }
}

void Runner::answer(const Inquiry& inquiry, std::function<void(Answer)> done)
{
    switch (inquiry.what) {
    case Inquiry::What::start: return done(start(inquiry.text));
    case Inquiry::What::progress: return done({200, progress()});
    case Inquiry::What::cancel:
        if (!busy_) {
            return done({200, R"({"status":"not_running"})"});
        }
        cancelling_.push_back(std::move(done));
        return cancel();
    case Inquiry::What::list: return done({200, book_.list(inquiry.limit)});
    case Inquiry::What::one: return done(kept(inquiry));
    }
}

Answer Runner::kept(const Inquiry& inquiry) const
{
    const std::string* const found = book_.find(inquiry.text);
    return found != nullptr ? Answer{200, *found} : Answer{404, admin::error("no benchmark has the id " + inquiry.text)};
}

Answer Runner::start(const std::string& body)
{
    if (stopping_) {
        return {503, admin::error("herd is stopping")};
    }
    if (busy_) {
        return {409, R"({"error":"a benchmark is running","progress":)" + progress() + "}"};
    }
    auto wish = parse_wish(body);
    if (!wish) {
        return {400, admin::error(wish.error().context)};
    }
    const auto snapshot = parts_.fleet->publish();
    const auto absent = missing(*snapshot, *wish);
    if (!absent.empty() && !wish->allow_pull) {
        return {400, admin::error(fmt::format(R"(no node has '{}'; "mode":"smart" with "allow_pull":true pulls what is named)", absent.front()))};
    }
    if (absent.empty() && make_plan(*snapshot, *wish).targets.empty()) {
        return {400, admin::error(why_none(*snapshot, *wish))};
    }
    run_ = Run{.id = base::make_request_id(parts_.rng, loop_.wall()),
               .at = loop_.wall(),
               .wish = std::move(*wish),
               .status = Status::warming_up,
               .phase = "starting",
               .version = parts_.version,
               .policy = std::string{fleet::to_string(fleet::Policy::cost)},
               .fleet = fleet_json(*snapshot)};
    log::info("bench", "benchmark_started", {{"id", run_.id}, {"seconds", run_.wish.duration.count()}});
    std::string said = started_json(run_);
    busy_ = true;
    tasks_.spawn("run", run());
    return {200, std::move(said)};
}

std::string Runner::progress()
{
    if (loading_) {
        run_.elapsed = loop_.now() - load_began_;
    }
    if (const auto pull = run_.pulling.empty() ? std::nullopt : parts_.pulls->furthest(fleet::ModelName::parse(run_.pulling).key)) {
        run_.percent = pull->percent;
    }
    return progress_json(run_);
}

void Runner::cancel()
{
    if (!going()) {
        return;
    }
    run_.status = Status::cancelled;
    run_.phase = "cancelled";
    leave();
    if (pull_wait_) {
        pull_wait_->stop();
    }
}

/// Every request of ours ends.
void Runner::leave()
{
    for (const Door& door : parts_.doors) {
        door.loop->dispatch([asker = door.asker] { asker->leave(); });
    }
}

void Runner::fail(std::string sentence)
{
    run_.status = Status::error;
    run_.phase = "failed";
    run_.error = std::move(sentence);
}

net::Task<void> Runner::run()
{
    co_await pull_missing();
    if (going()) {
        const auto snapshot = parts_.fleet->publish();
        Plan plan = make_plan(*snapshot, run_.wish);
        run_.targets = std::move(plan.targets);
        nodes_ = plan.nodes;
        if (run_.targets.empty()) {
            fail(why_none(*snapshot, run_.wish));
        }
    }
    co_await warm_up();
    if (going()) {
        co_await put_load();
    }
    co_await conclude();
}

net::Task<void> Runner::pull_missing()
{
    const auto absent = missing(*parts_.fleet->publish(), run_.wish);
    for (const std::string& model : absent) {
        if (!going()) {
            co_return;
        }
        run_.status = Status::pulling;
        run_.phase = "pulling " + model;
        run_.pulling = model;
        run_.percent = 0;
        std::string why = co_await pull(model);
        run_.pulling.clear();
        if (going() && !why.empty()) {
            fail(std::move(why));
        } else if (why.empty()) {
            run_.pulled.push_back(model);
        }
    }
}

/// By those who pull what requests name. Why it is not there; empty: it is.
net::Task<std::string> Runner::pull(std::string model)
{
    pull_wait_ = std::make_shared<proxy::PullWait>(loop_);
    proxy::WantedModel wanted;
    wanted.key = fleet::ModelName::parse(model).key;
    wanted.model = model;
    wanted.seen = parts_.fleet->publish();
    parts_.bring(std::move(wanted), pull_wait_);
    while (going() && !pull_wait_->answered()) {
        co_await pull_wait_->wait();
    }
    const auto answered = pull_wait_->answered();
    pull_wait_.reset();
    if (!answered) {
        co_return "the benchmark was cancelled";
    }
    co_return *answered ? std::string{} : why_not_pulled(model, answered->error());
}

/// One request to each model, one after the other, so that none of them waits for another's load. What does not answer is
/// left out.
net::Task<void> Runner::warm_up()
{
    std::vector<Target> warm;
    for (std::size_t i = 0; going() && i < run_.targets.size(); ++i) {
        run_.status = Status::warming_up;
        run_.phase = fmt::format("warming up {} ({} of {})", run_.targets[i].model, i + 1, run_.targets.size());
        net::Timer limit(loop_);
        limit.call_after(options_.warm_up_max, [this] { leave(); });
        const Told told = co_await ask(i, 0);
        if (told.well) {
            warm.push_back(run_.targets[i]);
        } else if (going()) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.warm_up_max).count();
            run_.skipped.emplace_back(run_.targets[i].model, told.cut ? fmt::format("no answer within {} s", seconds) : told.error);
        }
    }
    if (!going()) {
        co_return;
    }
    run_.targets = std::move(warm);
    if (run_.targets.empty()) {
        const auto& [model, why] = run_.skipped.front();
        fail(fmt::format("the first request to {} failed: {}", model, why));
    }
}

net::Task<void> Runner::put_load()
{
    run_.status = Status::running;
    run_.phase = "running";
    load_began_ = loop_.now();
    load_ends_ = load_began_ + run_.wish.duration;
    loading_ = true;
    sample_later();
    net::Timer limit(loop_);
    limit.call_at(load_ends_, [this, &limit] {
        run_.phase = going() ? "finishing what is on its way" : run_.phase;
        limit.call_at(load_ends_ + options_.finish_max, [this] { leave(); });
    });
    const std::size_t workers_each = Plan{run_.targets, nodes_}.workers_each();
    for (std::size_t target = 0; target < run_.targets.size(); ++target) {
        for (std::size_t i = 0; i < workers_each; ++i) {
            workers_.spawn("worker", work(target, i));
        }
    }
    co_await workers_.join();
    run_.elapsed = loop_.now() - load_began_;
    loading_ = false;
    sampler_.cancel();
}

/// One request after the other to one model, until the time is over.
net::Task<void> Runner::work(std::size_t target, std::size_t number)
{
    while (going() && loop_.now() < load_ends_) {
        const Told told = co_await ask(target, number++);
        run_.tally.add(target, told);
        if (!told.well && going()) {
            (void)co_await net::sleep_for(loop_, options_.after_failure);
        }
    }
}

net::Task<Told> Runner::ask(std::size_t target, std::size_t number)
{
    const Door& door = parts_.doors[next_door_++ % parts_.doors.size()];
    auto start = [asker = door.asker, question = question_for(run_.targets[target], number)](auto done) mutable {
        asker->ask(std::move(question), std::move(done));
    };
    co_return co_await answer_from<Told>(loop_, *door.loop, std::move(start));
}

void Runner::sample_later()
{
    run_.tally.sample(*parts_.fleet->publish());
    sampler_.call_after(options_.sample_every, [this] { sample_later(); });
}

/// What it is in the end.
Status Runner::judge()
{
    const Tally& tally = run_.tally;
    if (going() && tally.all().requests == 0) { // nothing to be told in figures
        fail("no request was answered well" + (tally.errors().empty() ? std::string{} : ": " + tally.errors().begin()->first));
    }
    return going() ? Status::complete : run_.status;
}

net::Task<void> Runner::conclude()
{
    const Status end = judge();
    const Tally& tally = run_.tally;
    log::info("bench", "benchmark_ended", {{"id", run_.id}, {"status", to_string(end)}, {"requests", tally.all().requests}, {"failed", tally.failures()}});
    if (tally.all().requests + tally.failures() > 0) {
        co_await keep(end);
    }
    if (going()) { // only now: what is complete is on the disk
        run_.status = end;
        run_.phase = "complete";
    }
    busy_ = false;
    for (const auto& tell : std::exchange(cancelling_, {})) {
        tell({200, R"({"status":"cancelled"})"});
    }
}

net::Task<void> Runner::keep(Status end)
{
    book_.add(run_.id, run_json(run_, end));
    auto work = [path = parts_.path, text = book_.text()] { return store::write_state_file(path, text); };
    const auto saved = co_await files_.ask(loop_, std::move(work));
    if (!saved || !*saved) {
        log::warn("bench", "benchmarks_not_saved", {{"why", saved ? saved->error().message() : "too much waits to be written"}});
    }
}

net::Task<void> Runner::stop()
{
    stopping_ = true;
    cancel();
    co_await tasks_.join();
}

} // namespace herd::app::bench
