// TLS over streams in memory: both ends are ours, so that each word of the contract can be held against them.
#include "net/task_group.hpp"
#include "net/timer.hpp"
#include "net/tls.hpp"
#include "net/tls_peer.hpp"
#include "support/catch.hpp"
#include "support/memory_stream.hpp"
#include "support/run.hpp"

#include <array>
#include <cstdio>
#include <fstream>

#include <unistd.h>

using namespace herd;
using namespace herd::net;
using herd::testing::MemoryStream;
using herd::testing::run;
using herd::testing::StreamOptions;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

const SelfSigned& own_certificate()
{
    static const SelfSigned made = make_self_signed({"node.lan", "127.0.0.1"}, base::SystemClock{}.wall());
    return made;
}

std::shared_ptr<const TlsContext> server_context()
{
    static const auto made = TlsContext::server_of(own_certificate().certificate, own_certificate().key);
    REQUIRE(made);
    return *made;
}

struct TempFile {
    explicit TempFile(std::string_view text)
    {
        std::array<char, 32> name{"/tmp/herd-tls-XXXXXX"};
        const int fd = ::mkstemp(name.data());
        REQUIRE(fd >= 0);
        ::close(fd);
        path = name.data();
        std::ofstream(path) << text;
    }
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    ~TempFile() { std::remove(path.c_str()); }
    std::string path;
};

std::shared_ptr<const base::PeerTrust> pinned()
{
    return std::make_shared<base::PeerTrust>(base::PeerTrust{.host = "node.lan", .pin = server_context()->fingerprint()});
}

Task<void> shake(TlsStream& stream, std::optional<base::Result<void>>& outcome)
{
    outcome = co_await stream.handshake();
}

/// Two ends of a TLS connection, and what lies below them.
struct Pair {
    explicit Pair(StreamOptions options = {}, std::shared_ptr<const base::PeerTrust> trust = pinned(),
                  std::shared_ptr<const TlsContext> context = server_context())
    {
        auto [a, b] = herd::testing::make_stream_pair(loop, options);
        below_client = a.get();
        below_server = b.get();
        auto asking = tls_client(loop, std::move(a), std::move(trust));
        REQUIRE(asking);
        client = std::move(*asking);
        server = tls_server(loop, std::move(b), *context);
    }
    ~Pair()
    {
        client->close();
        server->close();
        time.run_for(loop, 1s);
        CHECK(tasks.size() == 0);
    }
    void shake_hands()
    {
        tasks.spawn("client", shake(*client, client_outcome));
        tasks.spawn("server", shake(*server, server_outcome));
        time.run_for(loop, 5s);
    }
    void must_shake_hands()
    {
        shake_hands();
        REQUIRE(client_outcome);
        REQUIRE(server_outcome);
        REQUIRE(client_outcome->has_value());
        REQUIRE(server_outcome->has_value());
    }
    VirtualTime time{};
    Loop loop{};
    TaskGroup tasks{loop, "test"};
    MemoryStream* below_client{nullptr};
    MemoryStream* below_server{nullptr};
    std::unique_ptr<TlsStream> client{};
    std::unique_ptr<TlsStream> server{};
    std::optional<base::Result<void>> client_outcome{};
    std::optional<base::Result<void>> server_outcome{};
};

Task<base::Result<std::string>> read_to_end(Stream& stream)
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

Task<void> write_then_close(Stream& stream, std::string bytes, std::size_t piece, bool& written)
{
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        pieces.push_back(std::string_view(bytes).substr(at, piece));
    }
    written = (co_await write_all(stream, pieces)).has_value();
    stream.finish_sending();
}

std::string pattern(std::size_t size)
{
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
    }
    return text;
}

Io write(Stream& stream, std::string_view bytes)
{
    const std::array<std::string_view, 1> pieces{bytes};
    return stream.try_write(pieces);
}

} // namespace

TEST_CASE("bytes come through in both directions, whatever the pieces and the room", "[net][tls]")
{
    const std::size_t piece = GENERATE(1U, 7U, 1000U, 16384U, 100000U, 300000U);
    const StreamOptions options = GENERATE(StreamOptions{}, StreamOptions{.buffer_bytes = 1500},
                                           StreamOptions{.read_bytes_max = 5},
                                           StreamOptions{.buffer_bytes = 40000, .write_bytes_max = 900, .latency = 1ms});
    const bool from_client = GENERATE(true, false);
    const std::size_t size = piece < 1000 ? 3000 : 300000;
    Pair pair(options);
    pair.must_shake_hands();
    Stream& sender = from_client ? static_cast<Stream&>(*pair.client) : *pair.server;
    Stream& reader = from_client ? static_cast<Stream&>(*pair.server) : *pair.client;
    bool written = false;
    pair.tasks.spawn("write", write_then_close(sender, pattern(size), piece, written));
    const auto got = run(pair.time, pair.loop, read_to_end(reader));
    REQUIRE(got);
    CHECK(*got == pattern(size));
    CHECK(written);
}

TEST_CASE("small pieces of one write travel in one record and one write below", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    const std::size_t before = pair.below_server->writes();
    const std::array<std::string_view, 3> pieces{"5\r\n", "hello", "\r\n"};
    CHECK(pair.server->try_write(pieces).bytes == 10);
    CHECK(pair.below_server->writes() == before + 1);
}

TEST_CASE("an end is told from a truncation", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    CHECK(write(*pair.server, "half an answer").done());
    SECTION("close_notify came: the end")
    {
        pair.server->close();
        const auto got = run(pair.time, pair.loop, read_to_end(*pair.client));
        REQUIRE(got);
        CHECK(*got == "half an answer");
    }
    SECTION("the stream below ended without it: a failure, after what was sent")
    {
        pair.below_server->close();
        std::array<char, 100> space{};
        pair.time.run_for(pair.loop, 10ms);
        CHECK(pair.client->try_read(space).bytes == 14);
        const Io io = pair.client->try_read(space);
        CHECK(io.state == Io::State::failed);
        CHECK(base::errc_of(io.cause) == base::Errc::reset);
    }
    SECTION("abort() looks like one")
    {
        pair.server->abort();
        CHECK_FALSE(run(pair.time, pair.loop, read_to_end(*pair.client)));
    }
}

TEST_CASE("a side that finished sending still reads", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    pair.server->finish_sending();
    bool written = false;
    pair.tasks.spawn("write", write_then_close(*pair.client, "late", 4, written));
    const auto got = run(pair.time, pair.loop, read_to_end(*pair.server));
    REQUIRE(got);
    CHECK(*got == "late");
}

TEST_CASE("a full stream below makes a write wait, and nothing is lost or doubled", "[net][tls]")
{
    Pair pair({.buffer_bytes = 20000});
    pair.must_shake_hands();
    const std::string text = pattern(200000);
    std::size_t sent = 0;
    Io io = write(*pair.server, std::string_view(text).substr(sent));
    while (io.done()) {
        sent += io.bytes;
        io = write(*pair.server, std::string_view(text).substr(sent));
    }
    REQUIRE(io.would_block());
    bool room = false;
    pair.server->watch_writable([&] { room = true; });
    pair.time.run_for(pair.loop, 10ms);
    CHECK_FALSE(room);
    std::string got;
    std::array<char, 5000> space{};
    for (int rounds = 0; got.size() < text.size() && rounds < 10000; ++rounds) {
        while (true) {
            const Io read = pair.client->try_read(space);
            if (!read.done()) {
                break;
            }
            got.append(space.data(), read.bytes);
        }
        pair.time.run_for(pair.loop, 1ms);
        io = sent < text.size() ? write(*pair.server, std::string_view(text).substr(sent)) : Io{};
        sent += io.done() ? io.bytes : 0;
    }
    CHECK(room);
    CHECK(got == text);
}

TEST_CASE("a watch tells of bytes that were read ahead, once, and of nothing after unwatch", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    CHECK(write(*pair.server, "first").done());
    CHECK(write(*pair.server, "second").done());
    pair.time.run_for(pair.loop, 1ms);
    std::array<char, 5> space{};
    CHECK(pair.client->try_read(space).bytes == 5); // the second record lies in OpenSSL's buffer now
    int told = 0;
    pair.client->watch([&] { ++told; });
    pair.time.run_for(pair.loop, 1ms);
    CHECK(told == 1);
    pair.client->watch([&] { ++told; });
    pair.client->unwatch();
    pair.time.run_for(pair.loop, 1ms);
    CHECK(told == 1);
    std::array<char, 100> rest{};
    CHECK(pair.client->try_read(rest).bytes == 6);
    CHECK(pair.client->try_read(rest).would_block());
    pair.client->watch([&] { ++told; });
    pair.time.run_for(pair.loop, 1ms);
    CHECK(told == 1);
    CHECK(write(*pair.server, "third").done());
    pair.time.run_for(pair.loop, 1ms);
    CHECK(told == 2);
}

TEST_CASE("half a record is nothing to read: a watch may tell of it, and does not spin", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    auto& pipe = pair.below_client->in();
    pipe.options.read_bytes_max = 3;
    CHECK(write(*pair.server, "abc").done());
    std::array<char, 100> space{};
    int tries = 0;
    std::string got;
    std::function<void()> look = [&] {
        ++tries;
        const Io io = pair.client->try_read(space);
        if (io.done()) {
            got.append(space.data(), io.bytes);
        }
        pair.client->watch([&] { look(); });
    };
    pair.client->watch([&] { look(); });
    pair.time.run_for(pair.loop, 1s);
    CHECK(got == "abc");
    CHECK(tries < 30);
    pair.client->unwatch();
}

TEST_CASE("close() ends every wait, and nothing is called after", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    std::array<char, 10> space{};
    REQUIRE(pair.client->try_read(space).would_block()); // takes the session tickets
    bool told = false;
    std::optional<bool> reader;
    const auto wait = [](Stream& stream, std::optional<bool>& outcome) -> Task<void> {
        outcome = co_await stream.readable();
    };
    pair.tasks.spawn("wait", wait(*pair.client, reader));
    pair.client->watch_writable([&] { told = true; });
    pair.client->unwatch_writable();
    pair.time.run_for(pair.loop, 1ms);
    CHECK_FALSE(reader);
    pair.client->watch([&] { told = true; });
    pair.client->close();
    pair.time.run_for(pair.loop, 1ms);
    CHECK(reader == false);
    CHECK_FALSE(told);
    CHECK_FALSE(run(pair.time, pair.loop, pair.client->readable()));
}

TEST_CASE("a stream may be destroyed inside its own watch", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    bool told = false;
    pair.client->watch([&] {
        told = true;
        auto other = herd::testing::make_stream_pair(pair.loop);
        pair.client = std::move(*tls_client(pair.loop, std::move(other.first), pinned()));
    });
    CHECK(write(*pair.server, "x").done());
    pair.time.run_for(pair.loop, 1ms);
    CHECK(told);
}

TEST_CASE("what certificate a peer showed can be asked, so as to pin it later", "[net][tls]")
{
    Pair pair({}, std::make_shared<base::PeerTrust>(base::PeerTrust{.host = "node.lan", .verify = false}));
    CHECK(peer_certificate(*pair.client) == Digest{});
    pair.must_shake_hands();
    CHECK(peer_certificate(*pair.client) == server_context()->fingerprint());
    CHECK(peer_certificate(*pair.server) == Digest{}); // nobody asked for one
    CHECK(peer_certificate(*pair.below_client) == Digest{});
}

TEST_CASE("a pinned certificate must be that one", "[net][tls]")
{
    base::PeerTrust wrong{.host = "node.lan", .pin = Digest{1, 2, 3}};
    Pair pair({}, std::make_shared<base::PeerTrust>(wrong));
    pair.shake_hands();
    REQUIRE(pair.client_outcome);
    REQUIRE_FALSE(pair.client_outcome->has_value());
    CHECK(pair.client_outcome->error().code == base::Errc::forbidden);
    CHECK(pair.client_outcome->error().context == "its certificate is not the pinned one");
}

TEST_CASE("a certificate is verified by its signer and by the name", "[net][tls]")
{
    struct Case {
        const char* host;
        bool with_ca;
        bool verify;
        const char* complaint; // empty: accepted
    };
    const auto given = GENERATE(Case{"node.lan", true, true, ""}, Case{"NODE.lan.", true, true, ""},
                                Case{"127.0.0.1", true, true, ""},
                                Case{"other.lan", true, true, "hostname mismatch"},
                                Case{"127.0.0.2", true, true, "IP address mismatch"},
                                Case{"node.lan", false, true, "self-signed certificate"},
                                Case{"other.lan", false, false, ""});
    const TempFile file(own_certificate().certificate);
    forget_certificate_authorities();
    base::PeerTrust trust{.host = given.host, .ca_file = given.with_ca ? file.path : std::string{}, .verify = given.verify};
    Pair pair({}, std::make_shared<base::PeerTrust>(trust));
    pair.shake_hands();
    REQUIRE(pair.client_outcome);
    if (std::string_view{given.complaint}.empty()) {
        CHECK(pair.client_outcome->has_value());
    } else {
        REQUIRE_FALSE(pair.client_outcome->has_value());
        CHECK(pair.client_outcome->error().code == base::Errc::forbidden);
        CHECK(pair.client_outcome->error().context.find(given.complaint) != std::string::npos);
        REQUIRE(pair.server_outcome);
        CHECK_FALSE(pair.server_outcome->has_value());
    }
}

TEST_CASE("a server that wants client certificates refuses those without", "[net][tls]")
{
    const TempFile certificate(own_certificate().certificate);
    const TempFile key(own_certificate().key);
    const auto context = TlsContext::server({certificate.path, key.path, certificate.path});
    REQUIRE(context);
    CHECK((*context)->fingerprint() == server_context()->fingerprint());
    Pair pair({}, pinned(), *context);
    pair.shake_hands();
    REQUIRE(pair.server_outcome);
    REQUIRE_FALSE(pair.server_outcome->has_value());
    CHECK(pair.server_outcome->error().code == base::Errc::forbidden);
    CHECK(pair.server_outcome->error().context == "the client shows no certificate");
}

TEST_CASE("files that cannot be used are named", "[net][tls]")
{
    const TempFile certificate(own_certificate().certificate);
    const TempFile other_key(make_self_signed({"x"}, base::SystemClock{}.wall()).key);
    const TempFile garbage("no certificate");
    const auto context_of = [](const TlsFiles& files) {
        const auto made = TlsContext::server(files);
        return made ? std::string{} : made.error().context;
    };
    CHECK(context_of({"/nowhere.pem", other_key.path, {}}) == "tls.cert: cannot use the certificate in /nowhere.pem: No such file or directory");
    CHECK(context_of({certificate.path, "/nowhere.pem", {}}).ends_with("in /nowhere.pem with that certificate: No such file or directory"));
    CHECK(context_of({certificate.path, other_key.path, {}}).find("mismatch") != std::string::npos);
    CHECK(context_of({garbage.path, other_key.path, {}}).starts_with("tls.cert: "));
    CHECK(context_of({certificate.path, other_key.path, {}}).starts_with("tls.key: "));
    CHECK(context_of({certificate.path, garbage.path, {}}).starts_with("tls.key: "));
    const auto client = TlsContext::client(garbage.path);
    REQUIRE_FALSE(client);
    CHECK(client.error().context.starts_with("tls.ca_file: cannot read certificates from " + garbage.path));
}

TEST_CASE("garbage instead of a handshake is an error, not a wait", "[net][tls]")
{
    const std::string_view bytes = GENERATE("GET / HTTP/1.1\r\n\r\n"sv, "\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff"sv,
                                            "\x16\x03\x01\xff\xff"sv);
    Pair pair;
    pair.tasks.spawn("server", shake(*pair.server, pair.server_outcome));
    CHECK(write(*pair.below_client, bytes).done());
    pair.time.run_for(pair.loop, 1s);
    REQUIRE(pair.server_outcome);
    REQUIRE_FALSE(pair.server_outcome->has_value());
    CHECK(pair.server_outcome->error().code == base::Errc::malformed);
}

TEST_CASE("a plain server is told from a TLS one by the asking side", "[net][tls]")
{
    Pair pair;
    pair.tasks.spawn("client", shake(*pair.client, pair.client_outcome));
    pair.time.run_for(pair.loop, 1ms);
    CHECK(write(*pair.below_server, "HTTP/1.1 400 Bad Request\r\n\r\n").done());
    pair.time.run_for(pair.loop, 1s);
    REQUIRE(pair.client_outcome);
    REQUIRE_FALSE(pair.client_outcome->has_value());
    CHECK(pair.client_outcome->error().context == "the peer does not speak TLS");
}

TEST_CASE("a peer that is silent in the handshake costs no more than the deadline", "[net][tls]")
{
    VirtualTime time;
    Loop loop;
    auto [a, b] = herd::testing::make_stream_pair(loop);
    const auto began = time.now();
    const auto made = run(time, loop, tls_connect(loop, std::move(a), pinned(), loop.now() + 2s));
    REQUIRE_FALSE(made);
    CHECK(made.error().code == base::Errc::timed_out);
    CHECK(made.error().source == base::Source::node);
    CHECK(time.now() - began < 2100ms);
}

TEST_CASE("bytes that were read before it was clear that this is TLS are not lost", "[net][tls]")
{
    VirtualTime time;
    Loop loop;
    TaskGroup tasks(loop, "test");
    auto [a, b] = herd::testing::make_stream_pair(loop);
    auto client = *tls_client(loop, std::move(a), pinned());
    std::optional<base::Result<void>> client_outcome;
    std::optional<base::Result<void>> server_outcome;
    tasks.spawn("client", shake(*client, client_outcome));
    time.run_for(loop, 1ms);
    std::array<char, 100> first{};
    const Io io = b->try_read(first);
    REQUIRE(io.done());
    CHECK(first[0] == tls_first_byte);
    auto server = tls_server(loop, std::move(b), *server_context(), {first.data(), io.bytes});
    tasks.spawn("server", shake(*server, server_outcome));
    time.run_for(loop, 1s);
    REQUIRE(client_outcome);
    CHECK(client_outcome->has_value());
    CHECK(write(*client, "hello").done());
    time.run_for(loop, 1ms);
    std::array<char, 10> space{};
    CHECK(server->try_read(space).bytes == 5);
    client->close();
    server->close();
    time.run_for(loop, 1s);
}

TEST_CASE("a record that was changed on its way ends the stream", "[net][tls]")
{
    Pair pair;
    pair.must_shake_hands();
    CHECK(write(*pair.server, "some bytes").done());
    pair.time.run_for(pair.loop, 1ms);
    auto& ready = pair.below_client->in().ready;
    REQUIRE_FALSE(ready.empty());
    ready.back() = static_cast<char>(ready.back() ^ 1);
    std::array<char, 100> space{};
    CHECK(pair.client->try_read(space).state == Io::State::failed);
    CHECK(pair.client->try_read(space).state == Io::State::failed);
    CHECK(write(*pair.client, "x").state == Io::State::failed);
}

TEST_CASE("the stream below may fail at any operation, and nobody waits for ever", "[net][tls]")
{
    for (std::size_t n = 0; n < 40; ++n) {
        Pair pair;
        pair.below_server->fail_after(n);
        pair.shake_hands();
        bool written = false;
        if (pair.server_outcome && pair.server_outcome->has_value()) {
            pair.tasks.spawn("write", write_then_close(*pair.server, pattern(100000), 9000, written));
            (void)run(pair.time, pair.loop, read_to_end(*pair.client));
        } else {
            CHECK(pair.server_outcome);
        }
    }
}

TEST_CASE("the fingerprint of a certificate is that of its text", "[net][tls]")
{
    const auto read = fingerprint_of(own_certificate().certificate);
    REQUIRE(read);
    CHECK(*read == server_context()->fingerprint());
    CHECK_FALSE(fingerprint_of("garbage"));
}
