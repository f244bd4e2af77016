// Whose request it is, when a reverse proxy brings it.
#include "proxy/client_address.hpp"

#include "support/catch.hpp"

using namespace herd;
using namespace herd::proxy;

namespace {

std::string client(std::string_view peer, std::vector<std::string_view> forwarded, std::vector<std::string_view> trusted)
{
    http::Fields fields;
    for (const auto each : forwarded) {
        fields.add("X-Forwarded-For", each);
    }
    std::vector<base::IpNetwork> networks;
    for (const auto each : trusted) {
        networks.push_back(base::IpNetwork::parse(each).value());
    }
    return client_of(fields, {*base::IpAddress::parse(peer), 999}, networks).text();
}

} // namespace

TEST_CASE("a client is the peer, and behind a trusted proxy whom that names last")
{
    CHECK(client("10.0.0.9", {"1.2.3.4"}, {}) == "10.0.0.9:999");
    CHECK(client("10.0.0.9", {"1.2.3.4"}, {"10.0.0.8"}) == "10.0.0.9:999");
    CHECK(client("10.0.0.9", {"1.2.3.4"}, {"10.0.0.9"}) == "1.2.3.4:0");
    CHECK(client("10.0.0.9", {"6.6.6.6, 1.2.3.4"}, {"10.0.0.0/8"}) == "1.2.3.4:0"); // the first was written by the client
    CHECK(client("10.0.0.9", {"6.6.6.6", "1.2.3.4, 10.0.0.7"}, {"10.0.0.0/8"}) == "1.2.3.4:0");
    CHECK(client("10.0.0.9", {"10.0.0.7"}, {"10.0.0.0/8"}) == "10.0.0.7:0"); // all of them are trusted
    CHECK(client("::1", {"2001:db8::7"}, {"::1"}) == "[2001:db8::7]:0");
    CHECK(client("::1", {"[2001:db8::7]:4711"}, {"::/0"}) == "[2001:db8::7]:0");
    CHECK(client("::1", {"1.2.3.4:80"}, {"::1"}) == "1.2.3.4:0");
}

TEST_CASE("what is no address is nobody")
{
    CHECK(client("10.0.0.9", {}, {"10.0.0.9"}) == "10.0.0.9:999");
    CHECK(client("10.0.0.9", {"unknown"}, {"10.0.0.9"}) == "10.0.0.9:999");
    CHECK(client("10.0.0.9", {"1.2.3.4, _hidden"}, {"10.0.0.9"}) == "10.0.0.9:999");
    CHECK(client("10.0.0.9", {"", ", ,"}, {"10.0.0.9"}) == "10.0.0.9:999");
}
