#include "herd-node/gpu_watch.hpp"

#include "base/log.hpp"
#include "herd-node/probes/amd.hpp"
#include "herd-node/probes/nvidia.hpp"
#include "net/blocking.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <utility>

#include <unistd.h>

namespace herd::node {

namespace {

/// A cheap look from the loop: is there a driver at all? (Desktop and server, WSL, Jetson.)
bool has_nvidia(const std::string& root)
{
    static constexpr std::array<const char*, 4> signs{"/dev/nvidiactl", "/proc/driver/nvidia/version",
                                                      "/dev/dxg", "/dev/nvhost-gpu"};
    return std::ranges::any_of(signs,
                               [&](const char* sign) { return ::access((root + sign).c_str(), F_OK) == 0; });
}

} // namespace

/// Owned by the loop and by the job in progress together: a job that comes back late finds its own memory.
struct GpuWatch::Worker {
    // Written by the job, read by the loop after `done` was seen true.
    std::vector<discovery::GpuFacts> answer{};
    std::atomic<bool> done{false};
    // The job's alone.
    std::unique_ptr<NvidiaProbe> nvidia{};
    // The loop's alone.
    std::unique_ptr<net::Blocking> thread{std::make_unique<net::Blocking>("gpu", 1)};
};

GpuWatch::GpuWatch(GpuWatchOptions options) : options_(std::move(options)) {}

GpuWatch::~GpuWatch()
{
    if (worker_ && asked_at_ && !worker_->done.load(std::memory_order_acquire)) {
        // Waiting for a driver that may never answer would keep the whole program: the thread is left
        // behind on purpose. It owns what it touches.
        static auto& left_behind = *new std::vector<std::unique_ptr<net::Blocking>>;
        left_behind.push_back(std::move(worker_->thread));
    }
}

bool GpuWatch::tick(base::Instant now)
{
    const bool fresh = collect(now);
    if (!asked_at_ && now >= next_at_) {
        ask(now);
    }
    return fresh;
}

bool GpuWatch::collect(base::Instant now)
{
    if (!asked_at_) {
        return false;
    }
    if (worker_->done.load(std::memory_order_acquire)) {
        cards_ = std::move(worker_->answer);
        asked_at_.reset();
        if (std::exchange(stuck_, false)) {
            log::info("gpu", "driver_recovered", {{"cards", cards_.size()}});
        }
        return true;
    }
    if (stuck_ || now - *asked_at_ < options_.stuck_after) {
        return false;
    }
    stuck_ = true;
    log::warn("gpu", "driver_stuck",
              {{"silence", "the GPU driver does not answer; its figures are unknown"}});
    for (auto& card : cards_) {
        card.failed = true;
        card.busy.reset();
        card.vram_free.reset();
    }
    return true;
}

void GpuWatch::ask(base::Instant now)
{
    const bool nvidia = has_nvidia(options_.root);
    if (!nvidia && !has_amd(options_.root)) {
        next_at_ = now + options_.search_every;
        return;
    }
    next_at_ = now + options_.every;
    if (!worker_) {
        worker_ = std::make_shared<Worker>();
    }
    worker_->done.store(false, std::memory_order_relaxed);
    const bool taken =
        worker_->thread->submit([worker = worker_, nvidia, root = options_.root, library = options_.nvml] {
            if (nvidia && (!worker->nvidia || !worker->nvidia->usable())) {
                worker->nvidia = std::make_unique<NvidiaProbe>(library);
            }
            worker->answer = worker->nvidia ? worker->nvidia->read() : std::vector<discovery::GpuFacts>{};
            std::ranges::move(read_amd(root), std::back_inserter(worker->answer));
            for (std::size_t i = 0; i < worker->answer.size(); ++i) {
                worker->answer[i].index = static_cast<int>(i);
            }
            worker->done.store(true, std::memory_order_release);
        });
    if (taken) {
        asked_at_ = now;
    }
}

} // namespace herd::node
