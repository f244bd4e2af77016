#include "net/service.hpp"
#include "net/signals.hpp"

#include "support/catch.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace herd;
using namespace std::chrono_literals;

namespace {

/// What systemd would be: a datagram socket with an abstract name.
struct Supervisor {
    Supervisor() : name("@herd-test-" + std::to_string(::getpid()))
    {
        ::sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        address.sun_path[0] = '\0';
        fd = net::Fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
        const auto length = static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + name.size());
        REQUIRE(::bind(fd.get(), reinterpret_cast<const ::sockaddr*>(&address), length) == 0); // NOLINT
    }
    std::string hear()
    {
        ::pollfd entry{fd.get(), POLLIN, 0};
        REQUIRE(::poll(&entry, 1, 10'000) == 1);
        std::array<char, 512> buffer{};
        const ssize_t length = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
        return {buffer.data(), static_cast<std::size_t>(length)};
    }
    std::string name;
    net::Fd fd;
};

} // namespace

TEST_CASE("systemd hears of readiness, reloads and the end")
{
    Supervisor systemd;
    const net::ServiceNotifier notifier(systemd.name, "", "");
    REQUIRE(notifier.active());
    notifier.ready("3 nodes");
    CHECK(systemd.hear() == "READY=1\nSTATUS=3 nodes\n");
    notifier.reloading();
    CHECK(systemd.hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    notifier.stopping();
    CHECK(systemd.hear() == "STOPPING=1\n");
    CHECK_FALSE(notifier.watchdog_interval().has_value());
}

TEST_CASE("the watchdog is fed from the loop at half its interval")
{
    Supervisor systemd;
    net::VirtualTime time;
    net::Loop loop;
    net::ServiceNotifier notifier(systemd.name, "10000000", std::to_string(::getpid()));
    CHECK(notifier.watchdog_interval() == base::Duration{10s});
    notifier.start_watchdog(loop);
    time.run_for(loop, 11s);
    for (int i = 0; i < 3; ++i) {
        CHECK(systemd.hear() == "WATCHDOG=1\n");
    }
    ::pollfd entry{systemd.fd.get(), POLLIN, 0};
    CHECK(::poll(&entry, 1, 0) == 0);
    CHECK_FALSE(net::ServiceNotifier(systemd.name, "10000000", "1")
                    .watchdog_interval()
                    .has_value()); // another process
}

TEST_CASE("without systemd the notifier does nothing")
{
    for (const char* path : {"", "relative", "/nowhere/at/all"}) {
        const net::ServiceNotifier notifier(path, "1000000", "");
        CHECK_FALSE(notifier.active());
        notifier.ready("x");
    }
}

TEST_CASE("the first SIGTERM is graceful, the second is now, SIGHUP reloads")
{
    net::Loop loop;
    std::string seen;
    {
        net::Signals signals(loop,
                             {.graceful = [&] { seen += 'g'; },
                              .now =
                                  [&] {
                                      seen += 'n';
                                      loop.stop();
                                  },
                              .reload = [&] { seen += 'h'; }});
        const auto raise_and_wait = [&](int number, std::size_t length) {
            ::raise(number);
            while (seen.size() < length) {
                loop.context().run_one_for(10s);
            }
        };
        raise_and_wait(SIGHUP, 1);
        raise_and_wait(SIGPIPE, 1);
        raise_and_wait(SIGTERM, 2);
        raise_and_wait(SIGHUP, 3);
        raise_and_wait(SIGINT, 4);
    }
    CHECK(seen == "hghn");
}
