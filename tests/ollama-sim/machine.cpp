#include "machine.hpp"

#include <algorithm>
#include <expected>

namespace herd::sim {

namespace {
constexpr base::Duration for_ever = std::chrono::hours{24 * 365 * 100};

std::size_t common_prefix(std::string_view a, std::string_view b)
{
    return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}
} // namespace

net::Task<bool> Job::until(base::Instant when)
{
    if (cancelled_) {
        co_return false;
    }
    (void)co_await timer_.wait_until(when);
    co_return !cancelled_;
}

net::Task<bool> Job::turn()
{
    if (!cancelled_) {
        co_await turn_.wait();
    }
    co_return !cancelled_;
}

void Job::cancel()
{
    cancelled_ = true;
    timer_.cancel();
    turn_.notify();
}

Machine::Machine(net::Loop& loop, const Options& opts) : options(opts), loop_(loop), expiry_(loop) {}

base::WallTime Machine::wall_of(base::Instant when) const
{
    return loop_.wall() + std::chrono::duration_cast<std::chrono::microseconds>(when - loop_.now());
}

base::Duration Machine::token_time(const Runner& runner) const
{
    const double slower = 1 + options.concurrency_cost * std::max(0, runner.active - 1);
    return base::Duration{static_cast<std::int64_t>(1e9 * slower / options.decode_tokens_per_s)};
}

base::Bytes Machine::footprint(const StoredModel& model, int context) const
{
    const double kv_per_token = static_cast<double>(model.size) / 40000.0;
    return model.size + static_cast<base::Bytes>(kv_per_token * context * options.num_parallel);
}

std::shared_ptr<Runner> Machine::find(const std::string& blob)
{
    const auto found = std::ranges::find_if(runners_, [&](const auto& r) { return r->model.blob == blob; });
    return found == runners_.end() ? nullptr : *found;
}

net::Task<Machine::Seated> Machine::seat(Job& job, StoredModel model, LoadOptions wanted,
                                         std::optional<base::Duration> keep_alive, std::string prompt)
{
    ++tally.requests;
    const base::Instant began = loop_.now();
    if (wanted.num_ctx == 0) {
        wanted.num_ctx = model.num_ctx;
    }
    std::shared_ptr<Runner> runner = find(model.blob);
    if (!runner || runner->loading || runner->doomed || runner->options != wanted) {
        auto scheduled = co_await schedule(job, model, wanted);
        if (!scheduled) {
            tally.cancelled += scheduled.error().cancelled ? 1 : 0;
            co_return std::unexpected(scheduled.error());
        }
        runner = std::move(*scheduled);
    }
    const base::Duration load = loop_.now() - began;
    const auto is_free = [](const Slot& slot) { return !slot.busy; };
    if (!runner->waiting.empty() || std::ranges::none_of(runner->slots, is_free)) {
        runner->waiting.push_back(&job);
        ++tally.waiting;
        const bool my_turn = co_await job.turn();
        --tally.waiting;
        if (!my_turn) {
            std::erase(runner->waiting, &job);
            if (job.handed) {
                leave(runner, *job.handed);
            }
            ++tally.cancelled;
            co_return std::unexpected(Failure{499, "request canceled", true});
        }
    }
    // The slot that remembers most of this prompt, else the one unused for longest.
    Slot* best = job.handed ? &runner->slots[*job.handed] : nullptr;
    for (Slot& slot : runner->slots) {
        if (slot.busy) {
            continue;
        }
        const auto rank = [&](const Slot& s) {
            const std::size_t same = common_prefix(s.prompt, prompt);
            return std::pair{same * 10 > prompt.size() ? same : 0, ~s.used_at};
        };
        if (best == nullptr || rank(slot) > rank(*best)) {
            best = &slot;
        }
    }
    if (!job.handed) {
        best->busy = true;
        ++runner->active;
        tally.active_max = std::max(tally.active_max, ++tally.active);
    }
    best->used_at = ++clock_;
    runner->keep_alive = keep_alive.value_or(options.keep_alive);
    const auto index = static_cast<std::size_t>(best - runner->slots.data());
    co_return std::make_unique<Seat>(*this, runner, index, common_prefix(best->prompt, prompt), load);
}

net::Task<std::expected<std::shared_ptr<Runner>, Failure>> Machine::schedule(Job& job, const StoredModel& model,
                                                                             const LoadOptions& wanted)
{
    if (scheduling_.size() > static_cast<std::size_t>(options.max_queue)) {
        co_return std::unexpected(
            Failure{503, "server busy, please try again.  maximum pending requests exceeded"});
    }
    scheduling_.push_back(&job);
    const auto leave_queue = [&] {
        const bool was_first = !scheduling_.empty() && scheduling_.front() == &job;
        std::erase(scheduling_, &job);
        if (was_first && !scheduling_.empty()) {
            scheduling_.front()->give_turn();
        }
    };
    while (scheduling_.front() != &job) {
        if (!co_await job.turn()) {
            leave_queue();
            co_return std::unexpected(Failure{499, "request canceled", true});
        }
    }
    std::shared_ptr<Runner> runner = find(model.blob);
    if (runner && !runner->doomed && runner->options == wanted) {
        leave_queue();
        co_return runner;
    }
    if (runner) {
        ++tally.reloads;
        runner->doomed = true;
        if (!co_await wait_idle(job, runner)) {
            leave_queue();
            co_return std::unexpected(Failure{499, "request canceled", true});
        }
        drop(runner);
    }
    const int context = wanted.num_ctx != 0 ? wanted.num_ctx : options.context_length;
    const base::Bytes size = footprint(model, context);
    if (!co_await make_room(job, model, size)) {
        leave_queue();
        co_return std::unexpected(job.cancelled() ? Failure{499, "request canceled", true}
                                                  : Failure{500, "model requires more system memory than is available"});
    }
    runner = std::make_shared<Runner>();
    runner->name = model.name;
    runner->model = model;
    runner->options = wanted;
    runner->context_length = context;
    runner->size = size;
    runner->slots.resize(static_cast<std::size_t>(model.embeds ? 1 : options.num_parallel));
    ++tally.loads;
    const auto load = base::Duration{static_cast<std::int64_t>(1e9 * static_cast<double>(model.size) / options.load_bytes_per_s)};
    // The load runs under the asking client's context: if it leaves, the load is thrown away.
    if (!co_await job.until(loop_.now() + load)) {
        ++tally.load_aborts;
        leave_queue();
        co_return std::unexpected(Failure{499, "request canceled", true});
    }
    runner->loading = false;
    runners_.push_back(runner);
    leave_queue();
    co_return runner;
}

net::Task<bool> Machine::make_room(Job& job, const StoredModel& model, base::Bytes size)
{
    (void)model;
    if (size > options.memory) {
        co_return false;
    }
    for (;;) {
        base::Bytes used = 0;
        for (const auto& runner : runners_) {
            used += runner->size;
        }
        if (used + size <= options.memory && runners_.size() < static_cast<std::size_t>(options.max_loaded)) {
            co_return true;
        }
        // Shortest keep_alive first, an idle one before a busy one.
        const auto victim = std::ranges::min_element(runners_, {}, [](const auto& r) {
            return std::tuple{r->active > 0, r->keep_alive, r->name};
        });
        const std::shared_ptr<Runner> chosen = *victim;
        chosen->doomed = true;
        if (!co_await wait_idle(job, chosen)) {
            chosen->doomed = false;
            co_return false;
        }
        ++tally.evictions;
        drop(chosen);
    }
}

net::Task<bool> Machine::wait_idle(Job& job, std::shared_ptr<Runner> runner)
{
    while (runner->active > 0 || !runner->waiting.empty()) {
        runner->idle_waiters.push_back(&job);
        const bool go_on = co_await job.turn();
        std::erase(runner->idle_waiters, &job);
        if (!go_on) {
            co_return false;
        }
    }
    co_return true;
}

void Machine::drop(const std::shared_ptr<Runner>& runner) { std::erase(runners_, runner); }

void Machine::leave(const std::shared_ptr<Runner>& runner, std::size_t slot)
{
    if (!runner->waiting.empty()) {
        Job* next = runner->waiting.front();
        runner->waiting.pop_front();
        next->handed = slot;
        next->give_turn();
    } else {
        runner->slots[slot].busy = false;
        --runner->active;
        --tally.active;
    }
    runner->expires = loop_.now() + (runner->keep_alive < base::Duration::zero() ? for_ever : runner->keep_alive);
    if (runner->active == 0 && runner->waiting.empty()) {
        for (Job* job : std::exchange(runner->idle_waiters, {})) {
            job->give_turn();
        }
        arm_expiry();
    }
}

void Machine::unload(const std::string& blob)
{
    if (const auto runner = find(blob)) {
        runner->keep_alive = base::Duration::zero();
        runner->expires = loop_.now();
        arm_expiry();
    }
}

void Machine::arm_expiry()
{
    std::optional<base::Instant> next;
    const base::Instant now = loop_.now();
    for (auto it = runners_.begin(); it != runners_.end();) {
        const auto& runner = *it;
        const bool idle = runner->active == 0 && runner->waiting.empty();
        if (idle && runner->expires <= now) {
            it = runners_.erase(it);
            continue;
        }
        if (idle) {
            next = next ? std::min(*next, runner->expires) : runner->expires;
        }
        ++it;
    }
    if (next) {
        expiry_.call_at(std::min(*next, now + std::chrono::hours{1}), [this] { arm_expiry(); });
    }
}

Machine::Seat::Seat(Machine& machine, std::shared_ptr<Runner> runner, std::size_t slot, std::size_t cached_chars,
                    base::Duration load)
    : machine_(machine), runner_(std::move(runner)), slot_(slot), cached_chars_(cached_chars), load_(load)
{
}

Machine::Seat::~Seat() { machine_.leave(runner_, slot_); }

void Machine::Seat::remember(std::string prompt) { runner_->slots[slot_].prompt = std::move(prompt); }

} // namespace herd::sim
