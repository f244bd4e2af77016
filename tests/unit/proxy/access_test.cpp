// Who asks and what they may: through the whole proxy, and the pure half by itself.
#include "proxy/access.hpp"

#include "world.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

constexpr std::string_view secret = "herd_0123456789abcdef0123456789abcdef01234567";
constexpr std::string_view other_secret = "herd_ffffffffffffffffffffffffffffffffffffffff";

std::shared_ptr<Key> make_key(std::string name = "alice", std::string_view its = secret)
{
    auto key = std::make_shared<Key>();
    key->id = "key-" + name;
    key->fair = "key " + name;
    key->name = std::move(name);
    key->hash = net::sha256(its);
    key->use = std::make_shared<KeyUse>();
    return key;
}

std::shared_ptr<const Access> make_access(std::vector<KeyPtr> keys, bool require = true, std::uint32_t in_flight = 0)
{
    auto memory = std::make_shared<AccessMemory>();
    memory->addresses = std::make_shared<AddressCounts>(64, 1);
    AccessRules rules;
    rules.require_key = require;
    rules.client_in_flight = in_flight;
    rules.keys = std::move(keys);
    return std::make_shared<const Access>(std::move(rules), std::move(memory));
}

std::string with(std::string_view token) { return "Authorization: Bearer " + std::string(token) + "\r\n"; }
std::string get(World& w, std::string_view path, std::string_view fields = {})
{
    return w.ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: herd\r\n" + std::string(fields) + "\r\n");
}
const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

} // namespace

TEST_CASE("with a key required, every dialect says in its own words that there is none or a wrong one")
{
    World w;
    w.proxy->set_access(make_access({make_key()}));
    auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "401"));
    CHECK(field_of(got, "WWW-Authenticate") == "Bearer realm=\"herd\"");
    CHECK(body_of(got) == R"({"error":"a key is needed: send it as Authorization: Bearer KEY or x-api-key: KEY"})");
    got = w.post("/v1/chat/completions", chat, with("wrong"));
    CHECK(starts(got, "401"));
    CHECK(body_of(got) == R"({"error":{"message":"this key is not known here","type":"authentication_error","param":null,"code":"invalid_api_key"}})");
    got = w.post("/v1/messages", chat, "x-api-key: wrong\r\n");
    CHECK(starts(got, "401"));
    CHECK(body_of(got) == R"({"type":"error","error":{"type":"authentication_error","message":"this key is not known here"}})");
    CHECK(w.node(0).seen.empty());
    CHECK(w.records.back().status == 401);
    CHECK(w.records.back().key.empty());
    CHECK(w.records.back().error.find("wrong") == std::string::npos);
}

TEST_CASE("a good key lets in, is told to the scheduler and the record, and not to the node")
{
    World w;
    w.proxy->set_access(make_access({make_key()}));
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    CHECK(starts(w.post("/api/chat", chat, "authorization: bearer " + std::string(secret) + "\r\n"), "200"));
    CHECK(starts(w.post("/v1/messages", chat, "X-Api-Key: " + std::string(secret) + "\r\n"), "200"));
    REQUIRE(w.records.size() == 3);
    CHECK(w.records.back().key == "alice");
    CHECK(w.books.asked.back().client == "key alice");
    for (const auto& seen : w.node(0).seen) {
        CHECK_FALSE(seen.has(secret));
        CHECK(field_of(seen.head, "Authorization").empty());
        CHECK(field_of(seen.head, "x-api-key").empty());
    }
}

TEST_CASE("revoked and expired keys are told so")
{
    World w;
    auto key = make_key();
    key->revoked = true;
    w.proxy->set_access(make_access({key}));
    CHECK(body_of(w.post("/api/chat", chat, with(secret))) == R"({"error":"this key was revoked"})");
    key = make_key();
    key->expires = w.loop.wall() + 1h;
    w.proxy->set_access(make_access({key}));
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    w.settle(2h);
    w.connect();
    CHECK(body_of(w.post("/api/chat", chat, with(secret))) == R"({"error":"this key has expired"})");
}

TEST_CASE("where no key is required a wrong one is none, and a good one counts")
{
    World w;
    w.proxy->set_access(make_access({make_key()}, false));
    CHECK(starts(w.post("/api/chat", chat), "200"));
    CHECK(starts(w.post("/api/chat", chat, with("not-needed")), "200"));
    CHECK(w.records.back().key.empty());
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    CHECK(w.records.back().key == "alice");
}

TEST_CASE("what waits or runs with a key ends when that is revoked, and is told why")
{
    const auto revoked = [] {
        auto key = make_key();
        key->revoked = true;
        return key;
    };
    SECTION("while it waits")
    {
        World w;
        w.books.slots = 0;
        w.proxy->set_access(make_access({make_key(), make_key("bob", other_secret)}));
        CHECK(w.post("/v1/chat/completions", chat, with(secret)).empty());
        w.proxy->set_access(make_access({make_key(), make_key("bob", other_secret)})); // some other change
        w.settle(10ms);
        CHECK(w.read().empty());
        w.proxy->set_access(make_access({revoked(), make_key("bob", other_secret)}));
        w.settle(10ms);
        const auto got = w.read();
        CHECK(starts(got, "503"));
        CHECK(field_of(got, "x-should-retry") == "false");
        CHECK(body_of(got).find("its key was revoked") != std::string::npos);
        CHECK(w.records.at(0).termination == "PQ");
        CHECK(w.books.waiting == 0);
        CHECK(w.node(0).seen.empty());
    }
    SECTION("in the middle of a stream")
    {
        World w;
        w.node(0).scripts = {{opening(), chunk("{\"done\":false}\n"), hang()}};
        w.proxy->set_access(make_access({make_key()}));
        const auto begun = w.post("/api/chat", chat, with(secret));
        CHECK(starts(begun, "200"));
        w.proxy->set_access(nullptr); // it was the last one
        w.settle(10ms);
        CHECK(body_of(begun + w.read()) == "{\"done\":false}\n{\"error\":\"its key was revoked\"}\n<end>");
        CHECK(w.node(0).closed_by_peer == 1);
        CHECK(w.records.at(0).error == "its key was revoked");
    }
    SECTION("another's goes on")
    {
        World w;
        w.node(0).scripts = {{opening(), chunk("{\"done\":false}\n"), pause(1s), chunk("{\"done\":true}\n"), end_of_chunks()}};
        w.proxy->set_access(make_access({make_key(), make_key("bob", other_secret)}));
        const auto begun = w.post("/api/chat", chat, with(other_secret));
        w.proxy->set_access(make_access({revoked(), make_key("bob", other_secret)}));
        w.settle(2s);
        CHECK(body_of(begun + w.read()) == "{\"done\":false}\n{\"done\":true}\n");
    }
}

TEST_CASE("two Authorization fields are refused; Authorization goes before x-api-key")
{
    World w;
    w.proxy->set_access(make_access({make_key(), make_key("bob", other_secret)}));
    CHECK(starts(w.post("/api/chat", chat, with(secret) + with(other_secret)), "400"));
    CHECK(starts(w.post("/api/chat", chat, with(secret) + with(secret)), "400"));
    CHECK(starts(w.post("/api/chat", chat, "x-api-key: a\r\nX-Api-Key: b\r\n"), "400"));
    CHECK(starts(w.post("/api/chat", chat, with(secret) + "x-api-key: " + std::string(other_secret) + "\r\n"), "200"));
    CHECK(w.records.back().key == "alice");
    CHECK(starts(w.post("/api/chat", chat, with("wrong") + "x-api-key: " + std::string(other_secret) + "\r\n"), "401"));
    CHECK(starts(w.post("/api/chat", chat, "Authorization: Basic YTpi\r\nx-api-key: " + std::string(other_secret) + "\r\n"), "200"));
    CHECK(w.records.back().key == "bob");
}

TEST_CASE("hop-by-hop tricks neither remove a key nor pass one on")
{
    World w;
    w.proxy->set_access(make_access({make_key()}));
    CHECK(starts(w.post("/api/chat", chat, with(secret) + "Connection: authorization, x-forwarded-for\r\n"), "200"));
    CHECK(w.records.back().key == "alice");
    CHECK_FALSE(w.node(0).seen.back().has(secret));
    CHECK(field_of(w.node(0).seen.back().head, "X-Forwarded-For").empty() == false);
    CHECK(starts(w.post("/api/chat", chat, "Proxy-Authorization: Bearer " + std::string(secret) + "\r\n"), "401"));
    CHECK(starts(w.post("/api/chat", chat, "X-Herd-Key: alice\r\nX-Herd-Client: alice\r\nX-Forwarded-For: 127.0.0.1\r\n"), "401"));
}

TEST_CASE("a preflight needs no key, what follows it does")
{
    World w;
    w.proxy->set_access(make_access({make_key()}));
    const std::string origin = "Origin: http://localhost:3000\r\n";
    CHECK(starts(w.ask("OPTIONS /api/chat HTTP/1.1\r\nHost: herd\r\n" + origin + "\r\n"), "204"));
    CHECK(starts(w.post("/api/chat", chat, origin), "401"));
}

TEST_CASE("a key for certain models sees and uses only these")
{
    World w;
    w.publish({"m", "secret"}, {"m:latest", "secret:latest"});
    w.node(0).scripts = {answer(500, "{}")}; // /api/ps falls back on the snapshot
    auto key = make_key();
    key->models = {"registry.ollama.ai/library/m:latest"};
    w.proxy->set_access(make_access({key}));
    const auto mine = with(secret);
    CHECK(body_of(get(w, "/api/tags", mine)) == R"({"models":[{"name":"m:latest","size":10}]})");
    CHECK(body_of(get(w, "/v1/models", mine)).find("secret") == std::string::npos);
    CHECK(body_of(get(w, "/api/ps", mine)) == R"({"models":[{"name":"m:latest"}]})");
    CHECK(starts(get(w, "/v1/models/secret", mine), "403"));
    CHECK(starts(get(w, "/v1/models/library/secret", mine), "404"));
    CHECK(starts(w.post("/api/show", R"({"model":"secret"})", mine), "403"));
    w.node(0).seen.clear();
    w.node(0).scripts = {answer(200, "{}")};
    CHECK(starts(w.post("/api/show", R"({"model":"M"})", mine), "200"));
    CHECK(starts(w.post("/api/chat", R"({"model":"library/m:latest","messages":[{}]})", mine), "200"));
    const auto reached = w.node(0).seen.size();
    auto got = w.post("/v1/chat/completions", R"({"model":"secret","messages":[{}]})", mine);
    CHECK(starts(got, "403"));
    CHECK(body_of(got) == R"({"error":{"message":"this key may not use model 'secret'","type":"permission_error","param":null,"code":"not_allowed"}})");
    CHECK(w.records.back().key == "alice");
    CHECK(w.node(0).seen.size() == reached);
}

TEST_CASE("a key for certain models reaches no other by a detour")
{
    World w;
    w.publish({"m", "secret"});
    auto key = make_key();
    key->models = {"registry.ollama.ai/library/m:latest"};
    w.proxy->set_access(make_access({key}));
    const auto mine = with(secret);
    for (const auto* body : {R"({"model":"m","MODEL":"secret","messages":[{}]})", R"({"model":["m"],"messages":[{}]})", R"({"messages":[{}]})",
                             R"({"model":"m","messages":[{}],"model":"secret"})"}) {
        CHECK_FALSE(starts(w.post("/api/chat", body, mine), "200"));
        CHECK_FALSE(starts(w.post("/v1/chat/completions", body, mine), "200"));
    }
    for (const auto* path : {"/api/copy", "/api/create", "/api/pull", "/api/push", "/api/me"}) {
        CHECK(starts(w.post(path, R"({"model":"m","source":"secret","destination":"m","from":"secret"})", mine), "403"));
    }
    CHECK(starts(w.post("/api/blobs/sha256:" + std::string(64, 'a'), "x", mine), "403"));
    CHECK(starts(w.post("/api/experimental/web_search", R"({"query":"x"})", mine), "403"));
    CHECK(w.node(0).seen.empty());
    CHECK(starts(w.post("/api/chat", R"({"model":"m","messages":[{}],"fallback_models":["secret","m:latest"]})", mine), "200"));
    CHECK(w.books.asked.back().fallbacks.empty());
}

TEST_CASE("a key for certain models cannot name two models, of which servers read different ones")
{
    World w;
    w.publish({"m", "secret"});
    auto key = make_key();
    key->models = {"registry.ollama.ai/library/m:latest"};
    w.proxy->set_access(make_access({key}));
    const auto mine = with(secret);
    for (const auto* body : {R"({"model":"secret","MODEL":"m","messages":[{}]})", R"({"MODEL":"m","model":"secret","messages":[{}]})",
                             R"({"MODEL":"secret","model":"m","messages":[{}]})", R"({"model":"secret","model":"m","messages":[{}]})",
                             R"({"model":"secret","messages":[{}],"MoDeL":"m"})"}) {
        INFO(body);
        CHECK(starts(w.post("/v1/chat/completions", body, mine), "403"));
        CHECK(starts(w.post("/api/chat", body, mine), "403"));
    }
    CHECK(starts(w.post("/v1/chat/completions", R"({"MODEL":"m","messages":[{}]})", mine), "403")); // names none to vLLM
    CHECK(w.node(0).seen.empty());
    CHECK(starts(w.post("/api/chat", R"({"Model":"m","messages":[{}]})", mine), "200"));

    const auto part = [](std::string_view name, std::string_view value) {
        return "--b\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" + std::string(value) + "\r\n";
    };
    const auto send_form = [&](const std::string& form) {
        return w.ask("POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\n" + mine
                     + "Content-Length: " + std::to_string(form.size()) + "\r\n\r\n" + form);
    };
    const auto reached = w.node(0).seen.size();
    CHECK(starts(send_form(part("model", "m") + part("model", "secret") + "--b--\r\n"), "403"));
    CHECK(starts(send_form(part("model", "secret") + part("model", "m") + "--b--\r\n"), "403"));
    CHECK(starts(send_form(part("model", "m") + "--b \r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsecret\r\n--b--\r\n"), "403"));
    CHECK(w.node(0).seen.size() == reached);
    CHECK(starts(send_form(part("file", "RIFF") + part("model", "m") + "--b--\r\n"), "200"));
}

TEST_CASE("a model named behind the part of a long body that herd keeps is not trusted")
{
    ProxyOptions options;
    options.replay_body = 1000;
    World w(1, options);
    w.publish({"m", "secret"});
    auto key = make_key();
    key->models = {"registry.ollama.ai/library/m:latest"};
    w.proxy->set_access(make_access({key}));
    const auto body = R"({"model":"m","prompt":")" + std::string(5000, 'a') + R"(","model":"secret"})";
    CHECK(starts(w.post("/api/generate", body, with(secret)), "403"));
    CHECK(w.node(0).seen.empty());
}

TEST_CASE("a key for certain frontends does not work on another")
{
    World w;
    auto key = make_key();
    key->frontends = {"team-a"};
    w.proxy->set_access(make_access({key}));
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "403"));
    CHECK(starts(get(w, "/api/tags", with(secret)), "403"));
}

TEST_CASE("requests a minute and requests at once are limited, and say when to come again")
{
    World w;
    auto key = make_key();
    key->rpm = 2;
    w.proxy->set_access(make_access({key}));
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    auto got = w.post("/api/chat", chat, with(secret));
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "30");
    CHECK(w.records.back().key == "alice");
    w.settle(30s);
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    CHECK(key->use->in_flight == 0);

    key = make_key();
    key->max_parallel = 1;
    w.proxy->set_access(make_access({key}));
    w.node(0).scripts = {{pause(1s), send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")}};
    w.connect();
    auto first = std::move(w.client);
    const auto request = "POST /api/chat HTTP/1.1\r\nHost: h\r\n" + with(secret) + "Content-Length: " + std::to_string(chat.size()) + "\r\n\r\n" + chat;
    const std::array pieces{std::string_view(request)};
    REQUIRE(first->try_write(pieces).done());
    w.settle(10ms);
    CHECK(key->use->in_flight == 1);
    w.connect();
    got = w.post("/api/chat", chat, with(secret));
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "2");
    w.settle(2s);
    CHECK(key->use->in_flight == 0);
    first.reset();
}

TEST_CASE("tokens of the day are counted from what the node tells, and by bytes where it tells nothing")
{
    World w;
    auto key = make_key();
    key->tokens_per_day = 30;
    w.proxy->set_access(make_access({key}));
    w.node(0).scripts = {answer(200, R"({"message":{"content":"x"},"done":true,"total_duration":1,"prompt_eval_count":20,"eval_count":5})")};
    CHECK(starts(w.post("/api/chat", R"({"model":"m","stream":false,"messages":[{}]})", with(secret)), "200"));
    CHECK(key->use->tokens.today(w.loop.wall()) == 25);
    CHECK(starts(w.post("/api/chat", R"({"model":"m","stream":false,"messages":[{}]})", with(secret)), "200"));
    const auto got = w.post("/api/chat", chat, with(secret));
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "60");
    w.settle(24h);
    w.connect();
    CHECK(starts(w.post("/api/chat", R"({"model":"m","stream":false,"messages":[{}]})", with(secret)), "200"));

    auto cut = make_key("cut");
    w.proxy->set_access(make_access({cut}));
    w.node(0).scripts = {{opening("text/event-stream"), chunk("data: " + std::string(1274, 'x') + "\n\n"), hang()}};
    w.connect();
    (void)w.post("/v1/chat/completions", R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})", with(secret));
    w.client.reset(); // hangs up before the end
    w.settle();
    CHECK(cut->use->tokens.today(w.loop.wall()) >= 10);
}

TEST_CASE("requests at once are limited by address where there is no key")
{
    World w;
    w.proxy->set_access(make_access({}, false, 1));
    w.node(0).scripts = {{pause(1s), send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")}};
    auto first = std::move(w.client);
    const auto request = "POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(chat.size()) + "\r\n\r\n" + chat;
    const std::array pieces{std::string_view(request)};
    REQUIRE(first->try_write(pieces).done());
    w.settle(10ms);
    w.connect();
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "2");
    w.settle(2s);
    CHECK(starts(w.post("/api/chat", chat, {}, 2s), "200"));
    first.reset();
}

TEST_CASE("a key's priority is its default and its limit")
{
    World w;
    auto key = make_key();
    key->priority = fleet::Priority::normal;
    w.proxy->set_access(make_access({key}));
    (void)w.post("/api/chat", chat, with(secret) + "X-Herd-Priority: interactive\r\n");
    CHECK(w.books.asked.back().priority == fleet::Priority::normal);
    (void)w.post("/api/chat", chat, with(secret) + "X-Herd-Priority: batch\r\n");
    CHECK(w.books.asked.back().priority == fleet::Priority::batch);
    key->priority = fleet::Priority::batch;
    (void)w.post("/api/chat", chat, with(secret));
    CHECK(w.books.asked.back().priority == fleet::Priority::batch);
    CHECK(w.records.back().priority == fleet::Priority::batch);
}

TEST_CASE("wrong keys of one address are throttled, its good ones are not")
{
    World w;
    w.proxy->set_access(make_access({make_key()}));
    for (std::uint32_t i = 0; i < FailureCounts::at_once; ++i) {
        CHECK(starts(w.post("/api/chat", chat, with("wrong" + std::to_string(i))), "401"));
    }
    const auto got = w.post("/api/chat", chat, with("wrong"));
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "6");
    CHECK(starts(w.post("/api/chat", chat, with(secret)), "200"));
    w.settle(7s);
    CHECK(starts(w.post("/api/chat", chat, with("wrong")), "401"));
}

TEST_CASE("failures are remembered of so many addresses and no more")
{
    FailureCounts counts;
    const base::Instant now{1000s};
    for (std::uint32_t i = 0; i < 3 * FailureCounts::addresses_max; ++i) {
        const std::array<std::uint8_t, 4> bytes{10, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
        (void)counts.failed(base::IpAddress::v4(bytes), now);
    }
    CHECK(counts.addresses() <= FailureCounts::addresses_max);
}

TEST_CASE("a session cookie stands for its key until it ends, the key does, or it is revoked")
{
    const base::WallTime now{std::chrono::hours{1'000'000}};
    auto key = make_key();
    key->admin = true;
    AccessRules rules;
    rules.keys = {key};
    rules.sessions = {{net::sha256("cookie-value"), key->id, now + 1h}, {net::sha256("orphan"), "key-gone", now + 1h}};
    const Access access(rules, std::make_shared<AccessMemory>());
    const auto look = [&](std::string_view cookies, base::WallTime at) {
        http::RequestHead head;
        head.fields.add("Cookie", cookies);
        return access.look(head, at);
    };
    CHECK(look("a=b; herd_session=cookie-value; c=d", now).what == Shown::What::good);
    CHECK(look("herd_session=cookie-value", now).by_cookie);
    CHECK(look("herd_session=cookie-value", now + 1h).what == Shown::What::nothing);
    CHECK(look("herd_session=orphan", now).what == Shown::What::nothing);
    CHECK(look("xherd_session=cookie-value", now).what == Shown::What::nothing);
    CHECK(look("herd_session=", now).what == Shown::What::nothing);
    key->revoked = true;
    CHECK(look("herd_session=cookie-value", now).what == Shown::What::revoked);
}

TEST_CASE("a cookie counts only for the page that this herd served")
{
    const base::WallTime now{std::chrono::hours{1'000'000}};
    auto key = make_key();
    AccessRules rules;
    rules.keys = {key};
    rules.sessions = {{net::sha256("cookie-value"), key->id, now + 1h}};
    const Access access(rules, std::make_shared<AccessMemory>());
    const auto look = [&](std::string_view method, std::initializer_list<http::Field> fields) {
        http::RequestHead head;
        head.method = method;
        head.fields.add("Host", "127.0.0.1:11435");
        head.fields.add("Cookie", "herd_session=cookie-value");
        for (const auto& field : fields) {
            head.fields.add(field.name, field.value);
        }
        return access.look(head, now).what == Shown::What::good;
    };
    CHECK(look("GET", {}));
    CHECK(look("POST", {{"Origin", "http://127.0.0.1:11435"}}));
    CHECK(look("POST", {{"Origin", "https://127.0.0.1:11435"}, {"Sec-Fetch-Site", "same-origin"}}));
    CHECK(look("DELETE", {{"X-Herd-Dashboard", "1"}}));
    CHECK_FALSE(look("POST", {}));
    CHECK_FALSE(look("POST", {{"Origin", "http://127.0.0.1:3000"}})); // the same site for SameSite, another origin
    CHECK_FALSE(look("POST", {{"Origin", "null"}, {"X-Herd-Dashboard", "1"}}));
    CHECK_FALSE(look("GET", {{"Sec-Fetch-Site", "cross-site"}}));
    CHECK_FALSE(look("GET", {{"Sec-Fetch-Site", "same-site"}}));
}
