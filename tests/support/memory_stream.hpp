#pragma once
// A connection in memory: two net::Streams, what one writes the other reads. Small buffers make
// backpressure, latency obeys virtual time, and the Nth operation can be made to fail.
#include "net/stream.hpp"
#include "net/timer.hpp"
#include "net/wake.hpp"

#include <deque>
#include <memory>
#include <string>
#include <utility>

namespace herd::testing {

struct StreamOptions {
    std::size_t buffer_bytes{64 * 1024}; ///< on the way in one direction; beyond, writes would block
    std::size_t read_bytes_max{~std::size_t{0}};  ///< of one read, to cut messages
    std::size_t write_bytes_max{~std::size_t{0}}; ///< of one write
    base::Duration latency{0};
};

/// One direction. Shared by its two ends.
class Pipe : public std::enable_shared_from_this<Pipe> {
public:
    Pipe(net::Loop& loop, StreamOptions options);
    void write(std::string_view bytes);
    void end();
    void reset();
    void close_reader();
    void set_stalled(bool stalled); ///< nothing arrives while it is stalled
    [[nodiscard]] std::size_t room() const;
    [[nodiscard]] bool can_read() const { return !ready.empty() || ended || broken; }
    [[nodiscard]] bool can_write() const { return room() > 0 || reader_closed || broken; }

    /// Who waits at one end.
    struct Waiter {
        explicit Waiter(net::Loop& loop) : task(loop) {}
        net::Wake<bool> task;
        net::Callback watch;
    };
    void wake_reader();
    void wake_writer();

    net::Loop& loop;
    StreamOptions options;
    std::string ready; ///< arrived, not read
    bool ended{false}, broken{false}, reader_closed{false};
    Waiter reader, writer;

private:
    struct Parcel {
        base::Instant due;
        std::string bytes;
        bool end{false}, reset{false};
    };
    void send(Parcel parcel);
    void deliver();
    net::Timer timer_;
    std::deque<Parcel> transit_;
    std::size_t transit_bytes_{0};
    bool stalled_{false};
};

class MemoryStream final : public net::Stream {
public:
    MemoryStream(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, net::Endpoint local, net::Endpoint peer);
    ~MemoryStream() override;

    net::Io try_read(std::span<char> into) override;
    net::Io try_write(std::span<const std::string_view> pieces) override;
    net::Task<bool> readable() override;
    net::Task<bool> writable() override;
    void watch(net::Callback work) override;
    void unwatch() override;
    void watch_writable(net::Callback work) override;
    void unwatch_writable() override;
    void finish_sending() noexcept override;
    void close() noexcept override;
    void abort() noexcept override;
    [[nodiscard]] bool is_open() const override { return open_; }
    [[nodiscard]] net::Endpoint peer() const override { return peer_; }
    [[nodiscard]] net::Endpoint local() const override { return local_; }

    /// The Nth read or write from now (0: the next) fails with a reset, and the peer sees one too.
    void fail_after(std::size_t operations) { operations_left_ = operations; }
    [[nodiscard]] std::size_t operations() const { return operations_; } ///< so far: reads, writes
    [[nodiscard]] std::size_t writes() const { return writes_; }
    [[nodiscard]] Pipe& in() { return *in_; }
    [[nodiscard]] Pipe& out() { return *out_; }

private:
    [[nodiscard]] bool fails_now();
    void shut(bool reset) noexcept;

    std::shared_ptr<Pipe> in_, out_;
    net::Endpoint local_, peer_;
    std::size_t operations_left_{~std::size_t{0}};
    std::size_t operations_{0};
    std::size_t writes_{0};
    bool open_{true};
};

using StreamPair = std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>>;

/// Two ends of one connection.
[[nodiscard]] StreamPair make_stream_pair(net::Loop& loop, StreamOptions options = {},
                                          net::Endpoint a = {base::IpAddress::loopback(), 40000},
                                          net::Endpoint b = {base::IpAddress::loopback(), 80});

} // namespace herd::testing
