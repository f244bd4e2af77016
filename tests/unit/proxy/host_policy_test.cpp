// Which Host names a herd that only its own machine reaches answers to.
#include "proxy/host_policy.hpp"
#include "support/catch.hpp"

using herd::proxy::HostPolicy;
using Verdict = HostPolicy::Verdict;

namespace {

Verdict judge(const HostPolicy& policy, std::string_view host, std::string_view method = "GET")
{
    herd::http::RequestHead head;
    head.method = method;
    head.target = "/api/tags";
    if (!host.empty()) {
        head.fields.add("Host", host);
    }
    return policy.judge(head);
}

} // namespace

TEST_CASE("a herd on loopback refuses the names of others, which a rebound web page would bring")
{
    const HostPolicy policy("Box7", {"Herd.example"});
    for (const auto* local : {"", "localhost", "LOCALHOST:11435", "app.localhost", "box7", "box7:11435", "printer.local",
                              "host.docker.internal:11435", "127.0.0.1:11435", "127.3.2.1", "[::1]:11435", "10.0.0.7:1",
                              "192.168.1.4", "0.0.0.0:11435", "herd.example:80", "[fd00::1]"}) {
        INFO(local);
        CHECK(judge(policy, local) == Verdict::pass);
    }
    for (const auto* foreign : {"evil.example", "evil.example:11435", "localhost.evil.example", "box7.evil.example", "xlocalhost",
                                "notherd.example", "203.0.113.9:11435", "127.0.0.1.evil.example", "[::1", "a b", "local"}) {
        INFO(foreign);
        CHECK(judge(policy, foreign) == Verdict::refused);
        CHECK(judge(policy, foreign, "OPTIONS") == Verdict::refused);
    }
    CHECK(judge(policy, "localhost", "OPTIONS") == Verdict::options);
    CHECK(judge(policy, "127.0.0.1:11435", "OPTIONS") == Verdict::pass);
}

TEST_CASE("a herd on the LAN, or one that was told so, answers to any name")
{
    CHECK(judge(HostPolicy{}, "evil.example") == Verdict::pass);
    CHECK(judge(HostPolicy("box7", {"*"}), "evil.example") == Verdict::pass);
}
