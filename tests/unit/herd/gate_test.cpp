// Who may use herd's own routes: the whole table against every kind of caller.
#include "herd/admin/gate.hpp"

#include "support/catch.hpp"

#include <map>

using namespace herd;
using namespace std::chrono_literals;
using app::admin::Scope;

namespace {

const base::Endpoint here{base::IpAddress::loopback(), 40000};
const base::Endpoint elsewhere{base::IpAddress::v4({192, 168, 1, 5}), 40000};
const base::WallTime wall{std::chrono::hours{500'000}};
const base::Instant now{1000s};

std::shared_ptr<proxy::Key> key(std::string name, bool admin)
{
    auto made = std::make_shared<proxy::Key>();
    made->id = "key-" + name;
    made->name = name;
    made->hash = net::sha256(name);
    made->admin = admin;
    made->use = std::make_shared<proxy::KeyUse>();
    return made;
}

std::shared_ptr<const proxy::Access> access(bool require, bool with_admin, bool with_expired = false)
{
    proxy::AccessRules rules{.require_key = require};
    auto limited = key("limited", false);
    limited->models = {"registry.ollama.ai/library/m:latest"};
    rules.keys = {key("user", false), limited};
    auto revoked = key("revoked", true);
    revoked->revoked = true;
    auto expired = key("expired", true);
    expired->expires = wall - 1s;
    rules.keys.push_back(revoked);
    if (with_admin || with_expired) {
        rules.keys.push_back(expired);
    }
    if (with_admin) {
        rules.keys.push_back(key("admin", true));
    }
    return std::make_shared<const proxy::Access>(std::move(rules), std::make_shared<proxy::AccessMemory>());
}

http::RequestHead request(std::string_view method, std::string_view pattern, std::string_view secret = {})
{
    http::RequestHead head;
    head.method = method;
    head.target = pattern;
    while (head.target.find(':') != std::string::npos) {
        head.target.replace(head.target.find(':'), 1, "x");
    }
    head.fields.add("Host", "127.0.0.1:11435");
    if (!secret.empty()) {
        head.fields.add("Authorization", "Bearer " + std::string(secret));
    }
    return head;
}

int status(const http::RequestHead& head, const base::Endpoint& peer, const proxy::Access* rules, const app::admin::GateRules& gate = {})
{
    const auto verdict = app::admin::judge(head, peer, rules, gate, now, wall);
    return verdict.refused ? verdict.refused->status : 200;
}

const std::vector<std::string> nobodies{"", "wrong", "revoked", "expired"};

} // namespace

TEST_CASE("every route of herd's own, with keys required and an admin key made")
{
    for (const auto& route : app::admin::own_routes()) {
        CAPTURE(route.method, route.pattern);
        for (const auto& peer : {here, elsewhere}) {
            const auto rules = access(true, true);
            const bool open = route.scope == Scope::open || route.scope == Scope::node;
            const bool for_users = route.scope == Scope::user || route.scope == Scope::fleet;
            for (const auto& who : nobodies) {
                CAPTURE(who);
                CHECK(status(request(route.method, route.pattern, who), peer, rules.get()) == (open ? 200 : 401));
            }
            CHECK(status(request(route.method, route.pattern, "user"), peer, rules.get()) == (open || for_users ? 200 : 403));
            CHECK(status(request(route.method, route.pattern, "limited"), peer, rules.get()) == (open || route.scope == Scope::user ? 200 : 403));
            CHECK(status(request(route.method, route.pattern, "admin"), peer, rules.get()) == 200);
        }
    }
}

TEST_CASE("every route of herd's own, with an admin key but none required")
{
    const auto rules = access(false, true);
    for (const auto& route : app::admin::own_routes()) {
        CAPTURE(route.method, route.pattern);
        const bool open = route.scope != Scope::admin;
        for (const auto& who : nobodies) {
            const int got = status(request(route.method, route.pattern, who), here, access(false, true).get());
            CHECK(got == (open ? 200 : 401));
        }
        CHECK(status(request(route.method, route.pattern, "user"), here, rules.get()) == (open ? 200 : 403));
        CHECK(status(request(route.method, route.pattern, "admin"), here, rules.get()) == 200);
    }
}

TEST_CASE("without keys, or with those of users only, reading is open and changes come from this machine")
{
    for (const auto& rules : {std::shared_ptr<const proxy::Access>(), access(false, false)}) {
        for (const auto& route : app::admin::own_routes()) {
            CAPTURE(route.method, route.pattern);
            CHECK(status(request(route.method, route.pattern), here, rules.get()) == 200);
            CHECK(status(request(route.method, route.pattern), elsewhere, rules.get()) == (route.changes ? 403 : 200));
            CHECK(status(request(route.method, route.pattern, "user"), elsewhere, rules.get()) == (route.changes ? 403 : 200));
        }
    }
}

TEST_CASE("when the last admin key has expired nothing opens but the making of a new one from this machine")
{
    const auto rules = access(false, false, true);
    for (const auto& route : app::admin::own_routes()) {
        CAPTURE(route.method, route.pattern);
        const bool keys = route.pattern.starts_with("/herd/v1/keys");
        const bool open = route.scope != Scope::admin;
        CHECK(status(request(route.method, route.pattern), elsewhere, rules.get()) == (open ? 200 : 401));
        CHECK(status(request(route.method, route.pattern), here, rules.get()) == (open || keys ? 200 : 401));
        CHECK(status(request(route.method, route.pattern, "expired"), elsewhere, access(false, false, true).get()) == (open ? 200 : 401));
    }
}

TEST_CASE("keys that are required before there is one for admins: the first is made from this machine, nothing else")
{
    const auto rules = access(true, false);
    for (const auto& route : app::admin::own_routes()) {
        CAPTURE(route.method, route.pattern);
        const bool open = route.scope == Scope::open || route.scope == Scope::node;
        const bool keys = route.pattern.starts_with("/herd/v1/keys");
        CHECK(status(request(route.method, route.pattern), here, rules.get()) == (open || keys ? 200 : 401));
        CHECK(status(request(route.method, route.pattern), elsewhere, rules.get()) == (open ? 200 : 401));
    }
    auto page = request("POST", "/herd/v1/keys");
    page.fields.add("Origin", "http://evil.example");
    CHECK(status(page, here, rules.get()) == 401);
    auto forwarded = request("POST", "/herd/v1/keys");
    forwarded.fields.add("X-Forwarded-For", "192.0.2.7");
    CHECK(status(forwarded, here, rules.get()) == 401);
}

TEST_CASE("a route that nobody wrote into the table is closed")
{
    const auto rules = access(true, true);
    for (const char* path : {"/herd", "/herd/v1", "/herd/v1/new-thing", "/herd/v1/nodes/a/b/c", "/dashboard/x/y/z", "/"}) {
        for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
            CHECK(status(request(method, path), here, rules.get()) == 401);
            CHECK(status(request(method, path, "user"), here, rules.get()) == 403);
        }
    }
    CHECK(app::admin::own_route("PUT", "/herd/v1/new-thing").changes);
    CHECK_FALSE(app::admin::own_route("HEAD", "/herd/v1/new-thing").changes);
    CHECK(app::admin::own_route("GET", "/dashboard/login").scope == Scope::open);
    CHECK(app::admin::own_route("GET", "/dashboard/models").scope == Scope::admin);
    CHECK(app::admin::own_route("DELETE", "/herd/v1/nodes/").changes);
}

TEST_CASE("changes without a key come from anywhere only where the configuration says so, and never from a rebound page")
{
    const app::admin::GateRules anywhere{.admin_anywhere = true, .hosts = {"herd.example.org"}};
    auto head = request("POST", "/herd/v1/reload");
    CHECK(status(head, elsewhere, nullptr) == 403);
    CHECK(status(head, elsewhere, nullptr, anywhere) == 200);
    for (const char* host : {"herd:11435", "herd.lan", "192.168.1.2:11435", "herd.example.org"}) {
        head.fields.set("Host", host);
        CHECK(status(head, elsewhere, nullptr, anywhere) == 200);
    }
    head.fields.set("Host", "rebound.example");
    head.fields.set("Origin", "http://rebound.example");
    CHECK(status(head, elsewhere, nullptr, anywhere) == 403);
    CHECK(status(request("POST", "/herd/v1/reload"), elsewhere, access(true, true).get(), anywhere) == 401);
}

TEST_CASE("what came through a proxy on this machine does not come from this machine")
{
    auto head = request("POST", "/herd/v1/stop");
    CHECK(status(head, here, nullptr) == 200);
    head.fields.add("X-Forwarded-For", "203.0.113.9");
    CHECK(status(head, here, nullptr) == 403);
}
