#pragma once
// The scheduler and the runners of a simulated Ollama, as in reference/ollama-api.md §3.2: one load at a
// time, a runner per weights blob and options class, FIFO slots, eviction by memory, keep_alive, and a
// prompt cache per slot that makes a shared prefix cheap. All waits end when the client goes away.
#include "net/timer.hpp"
#include "options.hpp"
#include "store.hpp"

#include <cstdint>
#include <deque>
#include <expected>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::sim {

/// One request's waits. cancel() ends them all.
class Job {
public:
    explicit Job(net::Loop& loop) : timer_(loop), turn_(loop) {}
    /// False when cancelled.
    [[nodiscard]] net::Task<bool> until(base::Instant when);
    [[nodiscard]] net::Task<bool> turn();
    void give_turn() { turn_.notify(); }
    void cancel();
    [[nodiscard]] bool cancelled() const { return cancelled_; }
    /// The slot handed over by the request that finished before us: nobody can take it in between.
    std::optional<std::size_t> handed{};

private:
    net::Timer timer_;
    net::Event turn_;
    bool cancelled_{false};
};

/// The load-time options: a difference forces a reload.
struct LoadOptions {
    int num_ctx{0}; ///< 0: automatic
    std::string others{};
    bool operator==(const LoadOptions&) const = default;
};

struct Slot {
    std::string prompt{}; ///< what its cache holds
    std::uint64_t used_at{0};
    bool busy{false};
};

struct Runner {
    std::string name{}; ///< of the first loader
    StoredModel model{};
    LoadOptions options{};
    int context_length{0};
    base::Bytes size{0};
    std::vector<Slot> slots{};
    std::deque<Job*> waiting{};
    int active{0};
    bool loading{true};
    bool doomed{false}; ///< to be unloaded as soon as idle
    base::Duration keep_alive{};
    base::Instant expires{};
    std::vector<Job*> idle_waiters{};
};

struct Failure {
    int status{500};
    std::string message{};
    bool cancelled{false};
};

/// Counters that tests look at (GET /sim/state).
struct Tally {
    std::uint64_t requests{0}, cancelled{0}, loads{0}, reloads{0}, evictions{0}, load_aborts{0};
    int active{0}, active_max{0}, waiting{0};
};

class Machine {
public:
    Machine(net::Loop& loop, const Options& options);

    /// A slot of a loaded runner, held until its destruction.
    class Seat {
    public:
        Seat(Machine& machine, std::shared_ptr<Runner> runner, std::size_t slot, std::size_t cached_chars,
             base::Duration load);
        Seat(const Seat&) = delete;
        Seat& operator=(const Seat&) = delete;
        ~Seat();
        [[nodiscard]] Runner& runner() { return *runner_; }
        [[nodiscard]] std::size_t cached_chars() const { return cached_chars_; }
        [[nodiscard]] base::Duration load() const { return load_; }
        /// What the slot's cache holds from now on.
        void remember(std::string prompt);

    private:
        Machine& machine_;
        std::shared_ptr<Runner> runner_;
        std::size_t slot_;
        std::size_t cached_chars_;
        base::Duration load_;
    };

    using Seated = std::expected<std::unique_ptr<Seat>, Failure>;
    [[nodiscard]] net::Task<Seated> seat(Job& job, StoredModel model, LoadOptions options,
                                         std::optional<base::Duration> keep_alive, std::string prompt);
    /// keep_alive 0: gone as soon as idle.
    void unload(const std::string& blob);
    [[nodiscard]] const std::list<std::shared_ptr<Runner>>& runners() const { return runners_; }
    [[nodiscard]] base::Duration token_time(const Runner& runner) const;
    [[nodiscard]] base::WallTime wall_of(base::Instant when) const;

    Tally tally;
    /// Requests before the scheduler: the one that loads, and those behind it.
    [[nodiscard]] std::size_t scheduling() const { return scheduling_.size(); }
    Options options;

private:
    net::Task<std::expected<std::shared_ptr<Runner>, Failure>> schedule(Job& job, const StoredModel& model,
                                                                        const LoadOptions& wanted);
    net::Task<bool> make_room(Job& job, const StoredModel& model, base::Bytes size);
    net::Task<bool> wait_idle(Job& job, std::shared_ptr<Runner> runner);
    std::shared_ptr<Runner> find(const std::string& blob);
    void drop(const std::shared_ptr<Runner>& runner);
    void leave(const std::shared_ptr<Runner>& runner, std::size_t slot);
    void arm_expiry();
    [[nodiscard]] base::Bytes footprint(const StoredModel& model, int context) const;

    net::Loop& loop_;
    std::list<std::shared_ptr<Runner>> runners_;
    std::deque<Job*> scheduling_; // the one that loads is in front
    net::Timer expiry_;
    std::uint64_t clock_{0};
};

} // namespace herd::sim
