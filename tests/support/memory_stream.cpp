#include "support/memory_stream.hpp"

#include <algorithm>

namespace herd::testing {

using net::Io;

Pipe::Pipe(net::Loop& l, StreamOptions o) : loop(l), options(o), reader(l), writer(l), timer_(l) {}

std::size_t Pipe::room() const
{
    const std::size_t used = ready.size() + transit_bytes_;
    return used < options.buffer_bytes ? options.buffer_bytes - used : 0;
}

void Pipe::send(Parcel parcel)
{
    transit_bytes_ += parcel.bytes.size();
    transit_.push_back(std::move(parcel));
    deliver();
}

void Pipe::deliver()
{
    if (stalled_) {
        return;
    }
    const auto now = loop.now();
    bool arrived = false;
    while (!transit_.empty() && transit_.front().due <= now) {
        Parcel& parcel = transit_.front();
        transit_bytes_ -= parcel.bytes.size();
        ready += parcel.bytes;
        ended = ended || parcel.end;
        broken = broken || parcel.reset;
        transit_.pop_front();
        arrived = true;
    }
    if (!transit_.empty()) {
        timer_.call_at(transit_.front().due, [weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                self->deliver();
            }
        });
    }
    if (arrived) {
        wake_reader();
    }
}

void Pipe::write(std::string_view bytes) { send({loop.now() + options.latency, std::string(bytes)}); }
void Pipe::end() { send({loop.now() + options.latency, {}, true, false}); }
void Pipe::reset() { send({loop.now() + options.latency, {}, false, true}); }

void Pipe::close_reader()
{
    reader_closed = true;
    ready.clear();
    wake_writer();
}

void Pipe::set_stalled(bool stalled)
{
    stalled_ = stalled;
    deliver();
}

namespace {

void wake(const std::shared_ptr<Pipe>& pipe, Pipe::Waiter Pipe::*end, bool (Pipe::*possible)() const)
{
    // As the reactor would: later, from the loop, never out of somebody's write.
    pipe->loop.post([pipe, end, possible] {
        Pipe::Waiter& waiter = pipe.get()->*end;
        if (!(pipe.get()->*possible)()) {
            return;
        }
        auto watch = std::exchange(waiter.watch, nullptr);
        waiter.task.wake_later(true);
        if (watch) {
            watch();
        }
    });
}

} // namespace

void Pipe::wake_reader() { wake(shared_from_this(), &Pipe::reader, &Pipe::can_read); }
void Pipe::wake_writer() { wake(shared_from_this(), &Pipe::writer, &Pipe::can_write); }

MemoryStream::MemoryStream(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, net::Endpoint local,
                           net::Endpoint peer)
    : in_(std::move(in)), out_(std::move(out)), local_(local), peer_(peer)
{
}

MemoryStream::~MemoryStream() { close(); }

bool MemoryStream::fails_now()
{
    ++operations_;
    if (operations_left_ == ~std::size_t{0}) {
        return false;
    }
    if (operations_left_ > 0) {
        --operations_left_;
        return false;
    }
    in_->broken = true;
    in_->ready.clear();
    if (!out_->broken) {
        out_->reset();
    }
    return true;
}

Io MemoryStream::try_read(std::span<char> into)
{
    const auto failure = [](std::errc e) { return Io{Io::State::failed, 0, std::make_error_code(e)}; };
    if (!open_) {
        return failure(std::errc::bad_file_descriptor);
    }
    if (fails_now() || in_->broken) {
        return failure(std::errc::connection_reset);
    }
    if (in_->ready.empty()) {
        return {in_->ended ? Io::State::end : Io::State::would_block, 0, {}};
    }
    const std::size_t n = std::min({into.size(), in_->ready.size(), in_->options.read_bytes_max});
    std::copy_n(in_->ready.begin(), n, into.begin());
    in_->ready.erase(0, n);
    in_->wake_writer();
    return {Io::State::done, n, {}};
}

Io MemoryStream::try_write(std::span<const std::string_view> pieces)
{
    const auto failure = [](std::errc e) { return Io{Io::State::failed, 0, std::make_error_code(e)}; };
    if (!open_) {
        return failure(std::errc::bad_file_descriptor);
    }
    if (fails_now() || in_->broken) {
        return failure(std::errc::connection_reset);
    }
    if (out_->reader_closed) {
        return failure(std::errc::broken_pipe);
    }
    std::size_t room = std::min(out_->room(), out_->options.write_bytes_max);
    if (room == 0) {
        return {Io::State::would_block, 0, {}};
    }
    std::string sent;
    for (const std::string_view piece : pieces.first(std::min<std::size_t>(pieces.size(), 16))) {
        const std::size_t n = std::min(room, piece.size());
        sent += piece.substr(0, n);
        room -= n;
    }
    if (!sent.empty()) {
        out_->write(sent);
    }
    ++writes_;
    return {Io::State::done, sent.size(), {}};
}

net::Task<bool> MemoryStream::readable()
{
    const auto pipe = in_;
    if (!open_) {
        co_return false;
    }
    if (pipe->can_read()) {
        co_return true;
    }
    co_return co_await pipe->reader.task.wait();
}

net::Task<bool> MemoryStream::writable()
{
    const auto pipe = out_;
    if (!open_) {
        co_return false;
    }
    if (pipe->can_write() || in_->broken) {
        co_return true;
    }
    co_return co_await pipe->writer.task.wait();
}

void MemoryStream::watch(net::Callback work)
{
    if (open_) {
        in_->reader.watch = std::move(work);
        if (in_->can_read()) {
            in_->wake_reader();
        }
    }
}

void MemoryStream::watch_writable(net::Callback work)
{
    if (open_) {
        out_->writer.watch = std::move(work);
        if (out_->can_write()) {
            out_->wake_writer();
        }
    }
}

void MemoryStream::unwatch() { in_->reader.watch = nullptr; }
void MemoryStream::unwatch_writable() { out_->writer.watch = nullptr; }

void MemoryStream::finish_sending() noexcept
{
    if (open_) {
        out_->end();
    }
}

void MemoryStream::shut(bool reset) noexcept
{
    if (!open_) {
        return;
    }
    open_ = false;
    in_->reader.watch = nullptr;
    out_->writer.watch = nullptr;
    // As TCP: closing with unread bytes resets, which may destroy what the peer has not read yet.
    if (reset || !in_->ready.empty()) {
        out_->reset();
    } else {
        out_->end();
    }
    in_->close_reader();
    in_->reader.task.wake_later(false);
    out_->writer.task.wake_later(false);
}

void MemoryStream::close() noexcept { shut(false); }
void MemoryStream::abort() noexcept { shut(true); }

StreamPair make_stream_pair(net::Loop& loop, StreamOptions options, net::Endpoint a, net::Endpoint b)
{
    const auto there = std::make_shared<Pipe>(loop, options);
    const auto back = std::make_shared<Pipe>(loop, options);
    return {std::make_unique<MemoryStream>(back, there, a, b),
            std::make_unique<MemoryStream>(there, back, b, a)};
}

} // namespace herd::testing
