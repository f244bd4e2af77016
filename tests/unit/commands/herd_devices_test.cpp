// `herd device` and the settings of [ollana]: words in, sentences and a table out.
#include "herd/cli/device_verbs.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;

namespace {

struct Screen {
    std::ostringstream out{};
    std::ostringstream err{};
    cli::Terminal terminal{out, err, false};
};

std::string error_of(const std::vector<std::string>& words)
{
    const auto line = app::parse_command_line(words, {}, "/nowhere");
    const auto* exit = std::get_if<app::ExitNow>(&line);
    REQUIRE(exit != nullptr);
    CHECK(exit->code == 2);
    return exit->text;
}

bool serves(const std::vector<std::string>& words)
{
    return std::holds_alternative<app::ServeOptions>(app::parse_command_line(words, {}, "/nowhere"));
}

} // namespace

TEST_CASE("ollana A7: the setting is refused with one sentence where the client would be hurt")
{
    const std::vector<std::string> tls{"serve", "--ollana-clients", "--tls-self-signed"};
    CHECK(serves(tls));
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), tls.begin(), tls.end());
        return more;
    };
    CHECK(serves(with({"--listen", "10.0.0.1:11435", "--listen", "127.0.0.1:8080"})));
    CHECK(error_of({"serve", "--ollana-clients"}).find("ollana.clients needs TLS") != std::string::npos);
    CHECK(error_of(with({"--listen", "0.0.0.0:8080"})).find("port 11435") != std::string::npos);
    CHECK(error_of(with({"--listen", "[::]:11435"})).find("IPv4") != std::string::npos);
    const auto line = app::parse_command_line(tls, {{"HERD_TLS_CLIENT_CA", "/ca.pem"}}, "/nowhere");
    REQUIRE(std::holds_alternative<app::ExitNow>(line));
    CHECK(std::get<app::ExitNow>(line).text.find("client_ca") != std::string::npos);
    const auto plain = app::parse_command_line({"serve"}, {}, "/nowhere");
    REQUIRE(std::holds_alternative<app::ServeOptions>(plain));
    CHECK_FALSE(std::get<app::ServeOptions>(plain).options.ollana.clients); // off by default
}

TEST_CASE("herd device: mistakes are told")
{
    CHECK(error_of({"device"}).find("show, list, allow or disable") != std::string::npos);
    CHECK(error_of({"device", "alow", "x"}).find("did you mean") != std::string::npos);
    CHECK(error_of({"device", "allow"}).find("needs the id") != std::string::npos);
    CHECK(error_of({"device", "disable"}).find("needs the id") != std::string::npos);
    CHECK(error_of({"device", "list", "x"}).find("unexpected") != std::string::npos);
    CHECK(error_of({"device", "disable", "x", "--as", "laptops"}).find("device allow") != std::string::npos);
    const auto line = app::parse_command_line({"device", "allow", "aaaaaaaa", "--as", "laptops", "--key", "herd_x"}, {}, "/nowhere");
    REQUIRE(std::holds_alternative<app::Verb>(line));
    CHECK(std::get<app::Verb>(line).acts_as == "laptops");
    CHECK(std::get<app::Verb>(line).key == "herd_x");
}

TEST_CASE("devices are listed with their whole ids and what to do, and nothing of it disturbs the terminal")
{
    const std::string id(64, 'a');
    Screen screen;
    REQUIRE(app::print_devices(R"({"device_id":"f","clients":true,"devices":[{"id":")" + id
                                   + R"(","state":"knocked","key":null,"from":"10.0.0.7","last_seen":"2026-01-01T00:00:00.000Z","knocks":3,"advice":"herd device allow )" + id
                                   + R"(\u001b[2J"},7]})",
                               screen.terminal));
    CHECK(screen.out.str().find(id) != std::string::npos);
    CHECK(screen.out.str().find("herd device allow " + id) != std::string::npos);
    CHECK(screen.out.str().find("10.0.0.7") != std::string::npos);
    CHECK(screen.out.str().find('\x1b') == std::string::npos);
    CHECK(screen.err.str().empty());
    Screen none;
    REQUIRE(app::print_devices(R"({"clients":false,"devices":[]})", none.terminal));
    CHECK(none.out.str().find("no device is allowed") != std::string::npos);
    CHECK(none.err.str().find("[ollana] clients") != std::string::npos);
    CHECK_FALSE(app::print_devices("x", none.terminal));
}

TEST_CASE("Ollana's servers are listed with what must be run where")
{
    Screen screen;
    REQUIRE(app::print_devices(R"({"clients":false,"devices":[],"ollana_servers":[{"address":"10.0.0.9","state":"awaiting_approval_there","device":null,)"
                               R"("advice":"awaiting approval: run `ollana device allow abc` there, then restart ollana"},3]})",
                               screen.terminal));
    CHECK(screen.out.str().find("10.0.0.9: awaiting approval: run `ollana device allow abc` there") != std::string::npos);
    CHECK(screen.err.str().empty()); // who uses servers need not serve clients
    const auto plain = app::parse_command_line({"serve"}, {}, "/nowhere");
    REQUIRE(std::holds_alternative<app::ServeOptions>(plain));
    CHECK_FALSE(std::get<app::ServeOptions>(plain).options.ollana.servers);
    CHECK(std::get<app::ServeOptions>(plain).options.ollana.server_slots == 1);
    CHECK(serves({"serve", "--ollana-servers"})); // needs no TLS of ours
}
