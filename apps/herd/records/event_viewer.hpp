#pragma once
// One open stream of events: what the hub pushed and the client has not read yet. Born and read on a relay loop,
// fed from the hub's.
#include "net/timer.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

namespace herd::app {

/// Bytes made once and shared by all who are to read them.
using Chunk = std::shared_ptr<const std::string>;

/// Thread: its loop, except push() and end(), which any may call. Held by shared_ptr.
class EventViewer : public std::enable_shared_from_this<EventViewer> {
public:
    /// A client that lets more than `chunks_max` pushes or `bytes_max` bytes pile up is dropped.
    EventViewer(net::Loop& loop, std::size_t chunks_max, std::size_t bytes_max)
        : loop_(loop), arrived_(loop), chunks_max_(chunks_max), bytes_max_(bytes_max)
    {
    }

    void push(Chunk chunk)
    {
        loop_.post([self = shared_from_this(), chunk = std::move(chunk)]() mutable { self->take(std::move(chunk)); });
    }
    /// Nothing more will come; what is there is still read.
    void end()
    {
        loop_.post([self = shared_from_this()] { self->finish(false); });
    }
    /// The client left: what is there does not matter. Thread: its loop.
    void abandon() { finish(true); }

    /// The next chunk; nothing when the stream is over.
    [[nodiscard]] net::Task<Chunk> next();
    /// The client was too slow.
    [[nodiscard]] bool too_slow() const { return too_slow_; }

private:
    void take(Chunk chunk);
    void finish(bool at_once);

    net::Loop& loop_;
    net::Event arrived_;
    const std::size_t chunks_max_;
    const std::size_t bytes_max_;
    std::deque<Chunk> waiting_{};
    std::size_t bytes_{0};
    bool over_{false};
    bool too_slow_{false};
};

} // namespace herd::app
