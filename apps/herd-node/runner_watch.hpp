#pragma once
// Keeps a RunnerView up to date: looks through /proc on a worker when the set of loaded models changed (and
// now and then while something is loaded), asks /api/show which weights a model runs from where that
// matters, and polls /slots of runners that have it. Nothing here can fail: what cannot be seen stays
// unknown.
#include "base/ip.hpp"
#include "herd-node/slots.hpp"
#include "http/pool.hpp"
#include "net/blocking.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::node {

struct RunnerWatchOptions {
    std::string root{};                                  ///< where /proc lies; "" is the real box
    base::Duration look_every{std::chrono::seconds{30}}; ///< through /proc, while something is loaded
    base::Duration slots_every{std::chrono::seconds{2}}; ///< where there is /slots
    base::Duration ask_timeout{std::chrono::milliseconds{500}};
    std::function<int()> own{}; ///< requests that keep a model busy on our account; null: none ever
};

/// Thread: the loop's.
class RunnerWatch {
public:
    RunnerWatch(net::Loop& loop, http::Pool& pool, RunnerWatchOptions options, net::Callback on_change);
    RunnerWatch(const RunnerWatch&) = delete;
    RunnerWatch& operator=(const RunnerWatch&) = delete;
    /// Requires stop() to have ended, unless the loop itself has.
    ~RunnerWatch();

    void start();
    /// What Ollama at `ollama` says is loaded now. Empty `ollama`: it is not on this box, or not up.
    void loaded(std::optional<base::Endpoint> ollama, const std::vector<discovery::LoadedFacts>& models);
    [[nodiscard]] const RunnerView& view() const { return view_; }
    [[nodiscard]] net::Task<void> stop();

private:
    /// A loaded model as far as a reload would change it.
    struct Key {
        std::string name{};
        std::string digest{};
        std::optional<std::int64_t> context_length{};
        base::Bytes size{0};
        bool operator==(const Key&) const = default;
    };
    net::Task<void> run();
    net::Task<void> refresh();
    net::Task<void> look(std::uint16_t port, RunnerView& into);
    net::Task<void> ask_blobs(base::Endpoint ollama, RunnerView& into);
    net::Task<void> ask_slots(RunnerView& into);

    net::Loop& loop_;
    http::Pool& pool_;
    RunnerWatchOptions options_;
    net::Callback on_change_;
    RunnerView view_{};
    std::optional<base::Endpoint> ollama_{};
    std::vector<Key> keys_{};
    bool look_now_{false};
    base::Instant looked_at_{};
    std::unique_ptr<net::Blocking> worker_; ///< started by the first look
    net::Timer timer_;
    net::Event wake_;
    net::TaskGroup tasks_;
    bool stopping_{false};
};

} // namespace herd::node
