#include "herd/health/keeper.hpp"

#include "herd/on_loop.hpp"
#include "herd/records/packed_decision.hpp"

#include <algorithm>
#include <array>

#include <sys/statvfs.h>

namespace herd::app::health {

namespace {

constexpr std::size_t heard_max = 16384;
constexpr base::Duration heard_linger = std::chrono::milliseconds{500};
constexpr base::Duration real_load = std::chrono::milliseconds{100}; ///< a resident model tells some milliseconds too
constexpr std::size_t held_max = 100'000;
constexpr int cost_share = 100; ///< at most one percent of a core

fleet::Result outcome_of(std::string_view text)
{
    using enum fleet::Result;
    for (const auto each :
         {served, cancelled, refused, timed_out, broken, failed, busy, model_missing, route_missing}) {
        if (fleet::to_string(each) == text) {
            return each;
        }
    }
    return served;
}

/// Whether the scheduler expected a resident model to be loaded anew with other options.
bool expected_another_class(const std::string& packed)
{
    const auto decision = unpack_decision(packed);
    if (!decision || !decision->chosen) {
        return false;
    }
    const auto chosen = std::ranges::find(decision->candidates, *decision->chosen, &fleet::Weighed::node);
    return chosen != decision->candidates.end() && chosen->loaded && !chosen->same_class;
}

Finished::Kind kind_of(store::RequestClass what)
{
    switch (what) {
    case store::RequestClass::image: return Finished::Kind::image;
    case store::RequestClass::speech: return Finished::Kind::transcription;
    case store::RequestClass::pull: return Finished::Kind::pull;
    default: return Finished::Kind::text;
    }
}

struct Room {
    std::optional<base::Bytes> total{};
    std::optional<base::Bytes> free{};
};

Room room_of(const std::string& path)
{
    struct ::statvfs info{};
    if (::statvfs(path.c_str(), &info) != 0 || info.f_blocks == 0) {
        return {};
    }
    return {base::Bytes{info.f_blocks} * info.f_frsize, base::Bytes{info.f_bavail} * info.f_frsize};
}

} // namespace

Finished finished_of(const store::RequestRecord& record)
{
    const bool on_several = record.on_several();
    Finished finished{
        .node = on_several ? std::string{} : record.node,
        .model = record.model,
        .requested = record.requested_model,
        .status = record.status,
        .termination = record.termination,
        .on_several = on_several,
        .timings = {.load = record.load.value_or(base::Duration{}),
                    .eval = record.eval.value_or(base::Duration{}),
                    .prompt_tokens = record.prompt_tokens.value_or(0),
                    .output_tokens = record.output_tokens.value_or(0)},
        .first_byte = record.ttft,
        .total = record.total,
        .fallback = record.fallback,
        .measures = std::ranges::find(record.tags, benchmark_tag) != record.tags.end(),
        .kind = kind_of(record.what()),
        .cached_tokens = record.prompt_tokens ? record.cached_tokens.value_or(0) : -1,
        .context_asked = record.num_ctx_asked.value_or(0),
        .context_used = record.num_ctx_used.value_or(0),
        .other_class = record.load.value_or(base::Duration{}) > real_load && expected_another_class(record.decision),
    };
    for (const store::RecordedAttempt& attempt : record.attempts) {
        finished.attempts.push_back({attempt.node, outcome_of(attempt.outcome)});
    }
    return finished;
}

Heard heard_of(const discovery::Sighting& sighting, base::WallTime wall)
{
    Heard heard{.id = sighting.id(), .boot_id = sighting.header.boot_id, .over_http = sighting.over_http};
    const discovery::Announce* announce = sighting.announce();
    if (announce != nullptr && announce->load && announce->load->in_flight != discovery::unknown<decltype(announce->load->in_flight)>) {
        heard.in_flight = announce->load->in_flight;
    }
    constexpr std::uint64_t believable = 1ULL << 52; // in microseconds still far from overflow
    if (sighting.header.time_ms != 0 && sighting.header.time_ms < believable / 1000) {
        const std::chrono::milliseconds theirs{sighting.header.time_ms};
        heard.skew = std::chrono::duration_cast<std::chrono::milliseconds>(theirs - wall.time_since_epoch());
    }
    return heard;
}

Keeper::Keeper(net::Loop& loop, KeeperOptions options, KeeperSources sources)
    : loop_(loop), options_(std::move(options)), sources_(std::move(sources)), report_(std::make_shared<const Report>()), timer_(loop),
      tasks_(loop, "health"), heard_(loop, heard_max, heard_linger, [this](std::vector<Heard>& batch) {
          for (const Heard& each : batch) {
              history_.heard(each, loop_.now());
          }
      })
{
    // What is shown before the first look: every check, and nothing found.
    const fleet::Snapshot nothing;
    const Own own;
    report_ = steady_.judge({loop_.now(), nothing, history_, own}, clock_.wall());
}

Keeper::~Keeper() = default;

void Keeper::start()
{
    loop_.post([this] {
        files_ = std::make_unique<net::Blocking>("herd-health", 4);
        arm({});
    });
}

net::Task<void> Keeper::stop(net::Loop& asker)
{
    const auto done = std::make_shared<net::Event>(asker);
    loop_.dispatch([this, &asker, done] {
        stopping_ = true;
        timer_.cancel();
        files_.reset();
        stopped_ = [&asker, done] { asker.dispatch([done] { done->notify(); }); };
        if (!looking_) {
            ended_looking();
        }
    });
    co_await done->wait();
}

void Keeper::ended_looking()
{
    looking_ = false;
    if (stopping_ && stopped_) {
        std::exchange(stopped_, nullptr)();
    }
}

void Keeper::ended(const store::RequestRecord& record)
{
    if (!record.wants_model()) {
        return;
    }
    if (recalled_) {
        history_.finished(finished_of(record), loop_.now());
    } else if (held_.size() < held_max) {
        held_.push_back({finished_of(record), loop_.now()});
    }
}

/// The past first, then what ended meanwhile: the order in which it was.
net::Task<void> Keeper::recall()
{
    std::vector<Past> past;
    if (sources_.past) {
        past = co_await sources_.past(loop_);
    }
    const base::Instant now = loop_.now();
    const base::WallTime wall = clock_.wall();
    for (const Past& each : past) {
        const auto age = std::max(base::Duration{}, std::chrono::duration_cast<base::Duration>(wall - each.ended));
        history_.recalled(each.exchange, now - age);
    }
    recalled_ = true;
    for (const Held& each : std::exchange(held_, {})) {
        history_.finished(each.exchange, each.at);
    }
}

void Keeper::heard(const discovery::Sighting& sighting, base::WallTime wall)
{
    if (!sighting.is_leave()) { // of goodbyes the snapshot tells
        heard_.put(heard_of(sighting, wall));
    }
}

void Keeper::late(base::Duration by)
{
    loop_.post([this, by] { history_.late(loop_.now(), by); });
}

net::Task<std::shared_ptr<const Report>> Keeper::report(net::Loop& asker)
{
    auto work = [this] { return report_; };
    co_return co_await on_loop(asker, loop_, std::move(work));
}

net::Task<std::map<std::pair<std::string, std::string>, admin::QueueCounts>> Keeper::counts(net::Loop& asker)
{
    auto work = [this] {
        std::map<std::pair<std::string, std::string>, admin::QueueCounts> all;
        for (const auto& [key, away] : history_.turned_away()) {
            all[{"*", key}] = {.model = away.model, .rejected = away.count};
        }
        for (const auto& [key, pair] : history_.pairings()) {
            const Pairing::Ever& ever = pair.ever;
            if (ever.completed + ever.failed == 0) {
                continue; // only of an earlier run
            }
            const auto many = static_cast<double>(std::max<std::uint64_t>(ever.completed, 1));
            all[key] = {.model = pair.model,
                        .completed = ever.completed,
                        .failed = ever.failed,
                        .latency_ms = base::seconds(ever.total) * 1000 / many,
                        .prompt_tokens = static_cast<double>(ever.prompt_tokens) / many,
                        .completion_tokens = static_cast<double>(ever.output_tokens) / many,
                        .cold = ever.cold,
                        .cache_samples = ever.cache_samples,
                        .cache_hit_rate = ever.cache_prompt_tokens == 0 ? 0.0
                                                                        : static_cast<double>(ever.cached_tokens)
                                                                              / static_cast<double>(ever.cache_prompt_tokens)};
        }
        return all;
    };
    co_return co_await on_loop(asker, loop_, std::move(work));
}

/// A large fleet is looked at more seldom, so that looking stays cheap.
void Keeper::arm(base::Duration cost)
{
    timer_.call_after(std::max(options_.every, cost_share * cost), [this] {
        looking_ = true;
        tasks_.spawn("look", look());
    });
}

net::Task<void> Keeper::look()
{
    if (!recalled_) {
        co_await recall();
    }
    if (loop_.now() - in_flight_at_ >= options_.in_flight_every) {
        in_flight_at_ = loop_.now();
        history_.stuck(co_await sources_.stuck(loop_));
    }
    look_at_disk();
    const Glance glance = co_await sources_.glance(loop_);
    if (!stopping_ && glance.fleet) {
        const auto begun = clock_.now();
        judge(glance);
        arm(clock_.now() - begun);
    } else if (!stopping_) {
        arm({});
    }
    ended_looking();
}

void Keeper::judge(const Glance& glance)
{
    const auto now = loop_.now();
    const bool disk_fails = glance.records_lost > told_lost_ || !glance.own.records_error.empty() || !glance.own.state_error.empty();
    if (disk_fails && !std::exchange(disk_failed_, disk_fails)) {
        disk_at_ = {}; // is it full? The next look tells
    }
    disk_failed_ = disk_fails;
    if (glance.records_lost > told_lost_) {
        history_.records_lost(now, glance.records_lost - told_lost_);
        told_lost_ = glance.records_lost;
    }
    history_.see(*glance.fleet, now);
    Own own = glance.own;
    own.disk_path = options_.disk_path;
    own.disk_total = disk_total_;
    own.disk_free = disk_free_;
    report_ = steady_.judge({now, *glance.fleet, history_, own}, clock_.wall());
    if (sources_.judged) {
        sources_.judged(*report_, steady_.changed());
    }
    if (sources_.popular && (popular_at_ == base::Instant{} || now - popular_at_ >= options_.popular_every)) {
        popular_at_ = now;
        sources_.popular(history_.popular(now));
    }
}

void Keeper::look_at_disk()
{
    const auto now = loop_.now();
    if (!files_ || options_.disk_path.empty() || (disk_at_ != base::Instant{} && now - disk_at_ < options_.disk_every)) {
        return;
    }
    disk_at_ = now;
    (void)files_->run(loop_, [path = options_.disk_path] { return room_of(path); }, [this](Room room) {
        disk_total_ = room.total;
        disk_free_ = room.free;
    }); // a queue that is full means a disk that hangs: what was known stays
}

} // namespace herd::app::health
