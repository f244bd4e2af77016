#pragma once
// Runs one benchmark at a time: pulls what may be pulled, warms each model up with one request, then keeps so many requests in
// flight for the time that was asked for. Those that are on their way then may finish. What it decides by is in plan and tally.
#include "herd/bench/asker.hpp"
#include "herd/bench/book.hpp"
#include "herd/bench/run_view.hpp"
#include "herd/fleet_owner.hpp"
#include "net/blocking.hpp"
#include "proxy/auto_pull.hpp"
#include "proxy/memory.hpp"

#include <functional>
#include <memory>

namespace herd::app::bench {

/// What somebody asks of the benchmarks.
struct Inquiry {
    enum class What : std::uint8_t { start, progress, cancel, list, one };
    What what{What::progress};
    std::string text{}; ///< body of a start, id of one
    std::size_t limit{50};
};
struct Answer {
    int status{200};
    std::string body{};
};

struct RunnerOptions {
    base::Duration warm_up_max{std::chrono::seconds{120}};
    base::Duration finish_max{std::chrono::seconds{30}}; ///< for what is on its way when the time is over
    base::Duration sample_every{std::chrono::seconds{1}};
    base::Duration after_failure{std::chrono::milliseconds{200}}; ///< a worker whose request failed waits so long
};

/// A relay loop that takes requests.
struct Door {
    net::Loop* loop{nullptr};
    Asker* asker{nullptr};
};

struct RunnerParts {
    FleetOwner* fleet{nullptr};
    std::vector<Door> doors{};
    /// Has a node pull it; as ProxyShared has it.
    std::function<void(proxy::WantedModel wanted, std::weak_ptr<proxy::PullWait> waiting)> bring{};
    const proxy::PullMemory* pulls{nullptr};
    std::string version{};
    std::string path{}; ///< of the file with the runs
    base::Rng rng{0};
};

/// Thread: the fleet loop; the disk is waited for elsewhere.
class Runner {
public:
    Runner(net::Loop& loop, RunnerParts parts, RunnerOptions options = {});

    /// Reads the runs of before. Blocks.
    void load();
    /// `done` is called once: now, or when what was cancelled has ended.
    void answer(const Inquiry& inquiry, std::function<void(Answer)> done);
    /// Ends what runs; nothing begins any more.
    [[nodiscard]] net::Task<void> stop();

private:
    Answer start(const std::string& body);
    [[nodiscard]] Answer kept(const Inquiry& inquiry) const;
    void cancel();
    net::Task<void> run();
    net::Task<void> pull_missing();
    net::Task<std::string> pull(std::string model);
    net::Task<void> warm_up();
    net::Task<void> put_load();
    net::Task<void> work(std::size_t target, std::size_t number);
    net::Task<Told> ask(std::size_t target, std::size_t number);
    void fail(std::string sentence);
    net::Task<void> conclude();
    net::Task<void> keep(Status end);
    [[nodiscard]] Status judge();
    void leave();
    void sample_later();
    [[nodiscard]] std::string progress();
    [[nodiscard]] bool going() const { return !is_over(run_.status); }

    net::Loop& loop_;
    RunnerParts parts_;
    RunnerOptions options_;
    Book book_;
    Run run_;
    bool stopping_{false};
    bool busy_{false};           ///< with run_, until it is written down
    std::size_t nodes_{0};       ///< that have what is measured
    std::size_t next_door_{0};
    std::vector<std::function<void(Answer)>> cancelling_{}; ///< who waits for its end
    base::Instant load_began_{};
    base::Instant load_ends_{};
    bool loading_{false}; ///< the load is on
    std::shared_ptr<proxy::PullWait> pull_wait_;
    net::Timer sampler_;
    net::TaskGroup workers_;
    net::TaskGroup tasks_;
    net::Blocking files_{"herd-bench"}; // last: ends first, while what its answers touch is still there
};

} // namespace herd::app::bench
