#include "base/ip.hpp"

#include "support/catch.hpp"

using namespace herd::base;

namespace {
IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }
} // namespace

TEST_CASE("addresses read back what they wrote")
{
    for (const char* text : {"10.0.0.7", "255.255.255.255", "::1", "fe80::1%3", "2001:db8::42"}) {
        CAPTURE(text);
        CHECK(ip(text).text() == text);
    }
    CHECK(ip("::ffff:10.0.0.7") == ip("10.0.0.7"));
    CHECK_FALSE(IpAddress::parse("10.0.0").has_value());
    CHECK_FALSE(IpAddress::parse("localhost").has_value());
    CHECK_FALSE(IpAddress::parse("10.0.0.7%1").has_value());
}

TEST_CASE("kinds of addresses")
{
    CHECK(ip("127.3.2.1").is_loopback());
    CHECK(ip("::1").is_loopback());
    CHECK(ip("224.0.0.1").is_multicast());
    CHECK(ip("ff12::4c41:4e41").is_multicast());
    CHECK(ip("255.255.255.255").is_limited_broadcast());
    CHECK(ip("fe80::1%2").is_link_local());
    CHECK(ip("0.0.0.0").is_unspecified());
    for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd00::1", "169.254.1.1"}) {
        CAPTURE(text);
        CHECK(ip(text).is_private());
    }
    for (const char* text : {"172.32.0.1", "8.8.8.8", "2001:db8::1", "100.128.0.1"}) {
        CAPTURE(text);
        CHECK_FALSE(ip(text).is_private());
    }
}

TEST_CASE("an address is in a subnet when its prefix bits agree")
{
    CHECK(ip("192.168.7.2").in_subnet(ip("192.168.7.0"), 24));
    CHECK_FALSE(ip("192.168.8.2").in_subnet(ip("192.168.7.0"), 24));
    CHECK(ip("192.168.7.130").in_subnet(ip("192.168.7.128"), 25));
    CHECK_FALSE(ip("192.168.7.127").in_subnet(ip("192.168.7.128"), 25));
    CHECK(ip("8.8.8.8").in_subnet(ip("0.0.0.0"), 0));
    CHECK_FALSE(ip("::1").in_subnet(ip("127.0.0.1"), 0));
}

TEST_CASE("endpoints and host:port pairs, with and without ports and brackets")
{
    CHECK(Endpoint::parse("10.0.0.7:11436").value().text() == "10.0.0.7:11436");
    CHECK(Endpoint::parse("[::1]:80").value().text() == "[::1]:80");
    CHECK(HostPort::parse("box", 11435).value() == HostPort{"box", 11435});
    CHECK(HostPort::parse("box:1", 11435).value() == HostPort{"box", 1});
    CHECK(HostPort::parse("[::1]", 5).value() == HostPort{"::1", 5});
    CHECK(HostPort::parse("::1", 5).value() == HostPort{"::1", 5});
    for (const char* text : {"", ":80", "box:", "box:65536", "box:8x", "[::1", "[::1]80", "box:-1"}) {
        CAPTURE(text);
        CHECK_FALSE(HostPort::parse(text, 1).has_value());
    }
}
