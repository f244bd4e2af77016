#include "herd/records/event_viewer.hpp"

#include <utility>

namespace herd::app {

net::Task<Chunk> EventViewer::next()
{
    const auto self = shared_from_this(); // whoever waits here may be the last to hold us
    while (waiting_.empty() && !over_) {
        co_await arrived_.wait();
    }
    if (waiting_.empty()) {
        co_return Chunk{};
    }
    Chunk chunk = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= chunk->size();
    co_return chunk;
}

void EventViewer::take(Chunk chunk)
{
    if (over_) {
        return;
    }
    if (waiting_.size() >= chunks_max_ || (bytes_ + chunk->size() > bytes_max_ && !waiting_.empty())) {
        too_slow_ = true;
        finish(true);
        return;
    }
    bytes_ += chunk->size();
    waiting_.push_back(std::move(chunk));
    arrived_.notify();
}

void EventViewer::finish(bool at_once)
{
    over_ = true;
    if (at_once) {
        waiting_.clear();
        bytes_ = 0;
    }
    arrived_.notify();
}

} // namespace herd::app
