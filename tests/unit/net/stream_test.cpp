// The stream contract, held against TCP on loopback and against the streams in memory that tests use.
#include "net/buffers.hpp"
#include "net/network.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"
#include "support/memory_stream.hpp"
#include "support/run.hpp"

#include <array>

using namespace herd;
using namespace herd::net;
using herd::testing::run_real;
using herd::testing::run_until;
using namespace std::chrono_literals;

namespace {

/// Two connected streams.
struct Pair {
    explicit Pair(bool tcp) : network(make_network(loop)), tasks(loop, "test")
    {
        if (!tcp) {
            std::tie(a, b) = herd::testing::make_stream_pair(loop, {.buffer_bytes = 100000});
            return;
        }
        auto sockets = bind_tcp({base::IpAddress::loopback(), 0}, 1);
        REQUIRE(sockets);
        listener = *network->listen(std::move(sockets->front()));
        tasks.spawn("accept", accept(*this));
        auto connected = run_real(loop, network->connect(listener->local(), loop.now() + 5s));
        REQUIRE(connected);
        a = std::move(*connected);
        REQUIRE(run_until(loop, [&] { return b != nullptr; }));
    }
    ~Pair()
    {
        if (listener) {
            listener->close();
        }
        for (auto* stream : {a.get(), b.get()}) {
            if (stream != nullptr) {
                stream->close();
            }
        }
        CHECK(run_until(loop, [&] { return tasks.size() == 0; }));
    }
    static Task<void> accept(Pair& pair)
    {
        auto stream = co_await pair.listener->accept();
        if (stream) {
            pair.b = std::move(*stream);
        }
    }
    Loop loop{};
    std::unique_ptr<Network> network;
    TaskGroup tasks;
    std::unique_ptr<Listener> listener{};
    std::unique_ptr<Stream> a{};
    std::unique_ptr<Stream> b{};
};

Task<void> write_and_end(Stream& stream, std::string bytes, std::size_t pieces, base::Errc& outcome)
{
    std::vector<std::string_view> parts;
    const std::size_t step = bytes.size() / pieces;
    for (std::size_t i = 0; i < pieces; ++i) {
        parts.push_back(std::string_view(bytes).substr(i * step, i + 1 == pieces ? std::string_view::npos : step));
    }
    const auto done = co_await write_all(stream, parts);
    outcome = done ? base::Errc::internal : done.error().code;
    stream.finish_sending();
}

Task<base::Result<std::string>> read_everything(Stream& stream)
{
    std::string all;
    std::array<char, 3000> space{};
    for (;;) {
        const auto n = co_await read_some(stream, space);
        if (!n) {
            co_return std::unexpected(n.error());
        }
        if (*n == 0) {
            co_return all;
        }
        all.append(space.data(), *n);
    }
}

Task<void> note_readable(Stream& stream, int& outcome) { outcome = co_await stream.readable() ? 1 : 2; }
Task<void> note_writable(Stream& stream, int& outcome) { outcome = co_await stream.writable() ? 1 : 2; }

void fill(Stream& stream)
{
    const std::string block(65536, 'x');
    const std::array<std::string_view, 1> pieces{block};
    while (stream.try_write(pieces).done()) {
    }
}

} // namespace

TEST_CASE("many bytes in many pieces arrive whole although the socket is small")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        std::string bytes;
        for (int i = 0; bytes.size() < 8'000'000; ++i) {
            bytes += std::to_string(i);
        }
        base::Errc outcome{};
        p.tasks.spawn("write", write_and_end(*p.a, bytes, 50, outcome));
        const auto got = run_real(p.loop, read_everything(*p.b));
        REQUIRE(got);
        CHECK((*got == bytes));
        CHECK(outcome == base::Errc::internal); // that is: no error
    }
}

TEST_CASE("reading and writing never block")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        std::array<char, 10> space{};
        CHECK(p.a->try_read(space).would_block());
        fill(*p.a);
        const std::array<std::string_view, 1> one{"x"};
        CHECK(p.a->try_write(one).would_block());
        int writable = 0;
        p.tasks.spawn("wait", note_writable(*p.a, writable));
        p.loop.context().restart();
        p.loop.context().poll();
        CHECK(writable == 0);
        (void)run_until(p.loop, [&] {
            std::array<char, 65536> sink{};
            (void)p.b->try_read(sink);
            return writable != 0;
        });
        CHECK(writable == 1);
    }
}

TEST_CASE("a watch is called once, unless it is removed")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        int called = 0;
        std::array<char, 10> space{};
        p.b->watch([&] { ++called; });
        p.b->unwatch();
        p.b->watch([&] { called += 10; });
        REQUIRE(run_real(p.loop, write_all(*p.a, "x")));
        CHECK(run_until(p.loop, [&] { return called != 0; }));
        CHECK(called == 10);
        CHECK(p.b->try_read(space).done());
        p.b->watch([&] { called = 100; });
        p.b->unwatch();
        REQUIRE(run_real(p.loop, write_all(*p.a, "y")));
        int readable = 0;
        p.tasks.spawn("wait", note_readable(*p.b, readable)); // takes over the wait in flight
        CHECK(run_until(p.loop, [&] { return readable != 0; }));
        CHECK(readable == 1);
        CHECK(called == 10);
        // What is readable already is noticed too.
        p.b->watch([&] { ++called; });
        CHECK(run_until(p.loop, [&] { return called == 11; }));
        int room = 0;
        p.b->watch_writable([&] { ++room; });
        CHECK(run_until(p.loop, [&] { return room == 1; }));
    }
}

TEST_CASE("closing ends every wait, and nothing is called later")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        int readable = 0;
        int writable = 0;
        bool called = false;
        fill(*p.a);
        p.tasks.spawn("read", note_readable(*p.a, readable));
        p.tasks.spawn("write", note_writable(*p.a, writable));
        p.loop.context().restart();
        p.loop.context().poll();
        p.a->watch([&] { called = true; });
        p.a->close();
        CHECK_FALSE(p.a->is_open());
        CHECK(run_until(p.loop, [&] { return readable != 0 && writable != 0; }));
        CHECK(readable == 2);
        CHECK(writable == 2);
        CHECK_FALSE(called);
        std::array<char, 10> space{};
        CHECK(p.a->try_read(space).state == Io::State::failed);
        readable = 0;
        p.tasks.spawn("read", note_readable(*p.a, readable));
        CHECK(run_until(p.loop, [&] { return readable == 2; }));
        p.a->close();
    }
}

TEST_CASE("a stream may be destroyed right after it was closed under a waiting task")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        int readable = 0;
        p.tasks.spawn("read", note_readable(*p.a, readable));
        p.loop.context().restart();
        p.loop.context().poll();
        p.a->close();
        p.a.reset();
        CHECK(run_until(p.loop, [&] { return readable == 2; }));
    }
}

TEST_CASE("a watch may destroy its stream")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        p.b->watch([&] { p.b.reset(); });
        REQUIRE(run_real(p.loop, write_all(*p.a, "x")));
        CHECK(run_until(p.loop, [&] { return p.b == nullptr; }));
    }
}

TEST_CASE("cancelling a group ends its waits on streams")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        int readable = 0;
        p.tasks.spawn("read", note_readable(*p.a, readable));
        p.loop.context().restart();
        p.loop.context().poll();
        p.tasks.cancel();
        CHECK(run_until(p.loop, [&] { return readable == 2; }));
        // The stream itself is as good as before.
        readable = 0;
        p.tasks.spawn("read", note_readable(*p.a, readable));
        REQUIRE(run_real(p.loop, write_all(*p.b, "x")));
        CHECK(run_until(p.loop, [&] { return readable == 1; }));
    }
}

TEST_CASE("an end is an end, an abort is a reset")
{
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        p.a->close();
        const auto ended = run_real(p.loop, read_everything(*p.b));
        REQUIRE(ended);
        CHECK(ended->empty());
    }
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        REQUIRE(run_real(p.loop, write_all(*p.b, "unread")));
        p.a->abort();
        const auto broken = run_real(p.loop, read_everything(*p.b));
        REQUIRE_FALSE(broken);
        CHECK(broken.error().code == base::Errc::reset);
    }
    for (const bool tcp : {true, false}) {
        Pair p(tcp);
        p.a->finish_sending();
        CHECK(run_real(p.loop, read_everything(*p.b)).has_value());
        REQUIRE(run_real(p.loop, write_all(*p.b, "still heard")));
        p.b->close();
        CHECK(run_real(p.loop, read_everything(*p.a)) == "still heard");
    }
}

TEST_CASE("nobody listens: refused; and a deadline is kept")
{
    Loop loop;
    const auto network = make_network(loop);
    auto sockets = bind_tcp({base::IpAddress::loopback(), 0}, 1);
    REQUIRE(sockets);
    const auto at = sockets->front().local;
    sockets->clear();
    const auto refused = run_real(loop, network->connect(at, loop.now() + 5s));
    REQUIRE_FALSE(refused);
    CAPTURE(refused.error().message());
    CHECK(refused.error().code == base::Errc::refused);
    CHECK(refused.error().retry == base::Retry::always);
    const auto late = run_real(loop, network->connect(at, loop.now() - 1s));
    CHECK_FALSE(late);
}

TEST_CASE("a listener's port is taken, shared on request, and free again afterwards")
{
    const auto first = bind_tcp({base::IpAddress::loopback(), 0}, 2);
    REQUIRE(first);
    CHECK(first->size() == 2);
    CHECK((*first)[0].local == (*first)[1].local);
    const auto second = bind_tcp((*first)[0].local, 2);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == base::Errc::in_use);
}

TEST_CASE("closing a listener ends its accept")
{
    Loop loop;
    const auto network = make_network(loop);
    auto sockets = bind_tcp({base::IpAddress::loopback(), 0}, 1);
    auto listener = *network->listen(std::move(sockets->front()));
    Timer timer(loop);
    timer.call_after(10ms, [&] { listener->close(); });
    const auto accepted = run_real(loop, listener->accept());
    REQUIRE_FALSE(accepted);
    CHECK(accepted.error().code == base::Errc::cancelled);
}

TEST_CASE("a borrowed buffer comes back and is lent again")
{
    auto a = borrow_buffer();
    auto b = borrow_buffer();
    CHECK(a.bytes().size() == buffer_bytes);
    CHECK(a.bytes().data() != b.bytes().data());
    auto moved = std::move(a);
    CHECK_FALSE(a); // NOLINT(bugprone-use-after-move): that is what is asked
    moved.bytes()[buffer_bytes - 1] = 'x';
    moved.reset();
    CHECK_FALSE(moved);
    b = borrow_buffer();
    CHECK(b);
    CHECK(Buffer{}.bytes().empty());
}
