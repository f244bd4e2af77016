#pragma once
// A byte stream: TCP now, TLS behind the same face later, and a pair in memory for the simulator.
//
// The shape is "try, and wait when it would block", because that is what a relay needs: a stream that is
// idle holds no buffer at all (wait until readable, then borrow one), and a write that fits the socket
// costs no suspension. Reads happen only after the previous write finished: backpressure by construction.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "base/time.hpp"
#include "net/loop.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace herd::net {

using base::Endpoint;
using base::Result;

/// What a non-blocking read or write did.
struct Io {
    enum class State : std::uint8_t { done, would_block, end, failed };
    State state{State::done};
    std::size_t bytes{0};     ///< with `done`: at least 1
    std::error_code cause{};  ///< with `failed`

    [[nodiscard]] bool done() const { return state == State::done; }
    [[nodiscard]] bool would_block() const { return state == State::would_block; }
};

/// Thread: the loop it was made on. close() ends every wait with Errc::cancelled; the object stays valid.
class Stream {
public:
    Stream() = default;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    virtual ~Stream() = default;

    [[nodiscard]] virtual Io try_read(std::span<char> into) = 0;
    /// Writes the pieces in order, as far as they fit (one gathering system call). At most 16 pieces count.
    [[nodiscard]] virtual Io try_write(std::span<const std::string_view> pieces) = 0;
    /// Until a read would not block (data, end or error). False when closed by us meanwhile.
    [[nodiscard]] virtual Task<bool> readable() = 0;
    [[nodiscard]] virtual Task<bool> writable() = 0;
    /// Calls `work` once when the stream becomes readable (data, end or error), without a task.
    /// Not called after close() or when `unwatch` came first. At most one watch at a time.
    /// May be called once too often: what was readable may have been read meanwhile.
    virtual void watch(Callback work) = 0;
    virtual void unwatch() = 0;
    /// The same for "a write would not block".
    virtual void watch_writable(Callback work) = 0;
    virtual void unwatch_writable() = 0;
    /// Tells the peer that nothing more will be sent, and still reads. Only ever towards clients, before a
    /// lingering close; a node would read it as "client gone".
    virtual void finish_sending() noexcept = 0;
    /// Closes both directions at once. Never half-closes: Ollama reads that as "client gone".
    virtual void close() noexcept = 0;
    /// As close(), but the peer sees a reset instead of an end: for answers that must not look complete.
    virtual void abort() noexcept { close(); }
    /// From now on the stream fails (Errc::timed_out) when the peer's host acknowledges nothing of what was sent
    /// for `limit`; 0 is the system's patience, a quarter of an hour. A peer that is there but takes nothing for
    /// that long counts as well, so it is not for uploads to slow disks.
    virtual void acknowledge_within(base::Duration /*limit*/) noexcept {}
    [[nodiscard]] virtual bool is_open() const = 0;
    [[nodiscard]] virtual Endpoint peer() const = 0;
    [[nodiscard]] virtual Endpoint local() const = 0;
};

/// Waits if needed, then reads at least one byte; 0 means the peer ended.
/// Errors: reset, io, cancelled. Source is left to the caller. Awaits: yes.
[[nodiscard]] Task<Result<std::size_t>> read_some(Stream& stream, std::span<char> into);

/// Writes all of it. The pieces must stay valid until it returns. Awaits: only when the socket is full.
[[nodiscard]] Task<Result<void>> write_all(Stream& stream, std::span<const std::string_view> pieces);
[[nodiscard]] Task<Result<void>> write_all(Stream& stream, std::string_view bytes);

/// The Error for a failed Io.
[[nodiscard]] base::Error io_error(const Io& io);

} // namespace herd::net
