// Ollana's devices: who is let in at the door (lana.md 12.6 A3 to A6, parity.md 4.2 3), and the book behind it.
#include "base/text.hpp"
#include "herd/devices/door.hpp"
#include "support/catch.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

using namespace herd;
using namespace herd::app::devices;

namespace {

const std::string alice(64, 'a');
const std::string bob(64, 'b');
const std::string stranger(64, '0');
const base::WallTime wall{std::chrono::hours{500'000}};
const base::IpAddress somewhere = base::IpAddress::v4({10, 77, 0, 9});

std::shared_ptr<proxy::Key> make_key(std::string name)
{
    auto key = std::make_shared<proxy::Key>();
    key->id = "key-" + name;
    key->hash = net::sha256(name);
    key->name = std::move(name);
    key->use = std::make_shared<proxy::KeyUse>();
    return key;
}

struct Bench {
    std::vector<proxy::KeyPtr> keys{};
    bool require_key{false};
    std::vector<proxy::Device> allowed{{alice, {}}};

    proxy::Access access() const
    {
        proxy::AccessRules rules{.require_key = require_key, .keys = keys, .devices = proxy::DeviceRules{std::string(64, 'f'), allowed}};
        return {std::move(rules), std::make_shared<proxy::AccessMemory>()};
    }
    Door door(std::string method, std::string target, std::vector<std::string> ids = {}, std::string_view origin = {}) const
    {
        return judge_door(head(std::move(method), std::move(target), std::move(ids), origin), access(), wall);
    }
    static http::RequestHead head(std::string method, std::string target, std::vector<std::string> ids, std::string_view origin = {})
    {
        http::RequestHead head;
        head.method = std::move(method);
        head.target = std::move(target);
        for (const std::string& id : ids) {
            head.fields.add("X-Ollana-Device-Id", id);
        }
        if (!origin.empty()) {
            head.fields.add("Origin", origin);
        }
        return head;
    }
};

} // namespace

TEST_CASE("ollana A3: the handshake is 200 for an id that was allowed, and 401 for all else")
{
    const Bench b;
    CHECK(b.door("POST", "/ollana/api/authorize", {alice}) == Door::welcome);
    CHECK(b.door("POST", "/ollana/api/authorize", {stranger}) == Door::refused);
    CHECK(b.door("POST", "/ollana/api/authorize") == Door::refused);
    CHECK(b.door("POST", "/ollana/api/authorize", {""}) == Door::refused);
    CHECK(b.door("POST", "/ollana/api/authorize", {alice, alice}) == Door::refused); // which of two is meant?
    CHECK(b.door("POST", "/ollana/api/authorize", {stranger, alice}) == Door::refused);
    CHECK(b.door("GET", "/ollana/api/authorize", {stranger}) == Door::refused);
}

TEST_CASE("ollana A4: GET /api/version is answered for everybody, by herd itself")
{
    Bench b;
    for (const bool required : {false, true}) {
        b.require_key = required;
        CHECK(b.door("GET", "/api/version") == Door::version);
        CHECK(b.door("GET", "/api/version", {stranger}) == Door::version);
        CHECK(b.door("HEAD", "/api/version?x", {stranger, alice}) == Door::version);
    }
    CHECK(b.door("GET", "/api/version", {}, "http://localhost") == Door::elsewhere); // its fields are the proxy's
}

TEST_CASE("ollana A5: every other request that shows an id needs one that was allowed")
{
    const Bench b;
    for (const char* path : {"/api/tags", "/api/chat", "/v1/models", "/", "/herd/v1/status", "/no/such"}) {
        CHECK(b.door("GET", path, {stranger}) == Door::refused);
        CHECK(b.door("POST", path, {alice, stranger}) == Door::refused);
        CHECK(b.door("POST", path, {alice}) == Door::elsewhere);
        CHECK(b.door("POST", path) == Door::elsewhere); // no Ollana: the ordinary rules
    }
}

TEST_CASE("where keys are required a device needs one that a human named for it, and a good one")
{
    Bench b;
    b.require_key = true;
    CHECK(b.door("POST", "/ollana/api/authorize", {alice}) == Door::refused);
    auto key = make_key("laptops");
    b.keys = {key};
    b.allowed = {{alice, "key-laptops"}};
    CHECK(b.door("POST", "/ollana/api/authorize", {alice}) == Door::welcome);
    CHECK(b.door("POST", "/api/chat", {alice}) == Door::elsewhere);
    const auto shown = b.access().look(Bench::head("POST", "/api/chat", {alice}), wall);
    CHECK(shown.what == proxy::Shown::What::good);
    CHECK(shown.key == key); // its limits, its name in the records
    const auto none = b.access().look(Bench::head("POST", "/api/chat", {stranger}), wall);
    CHECK(none.what == proxy::Shown::What::nothing);

    key->revoked = true;
    CHECK(b.door("POST", "/ollana/api/authorize", {alice}) == Door::refused);
    key->revoked = false;
    key->expires = wall;
    CHECK(b.door("POST", "/api/chat", {alice}) == Door::refused);
    key->expires.reset();
    key->admin = true; // a device is never an admin
    CHECK(b.door("POST", "/api/chat", {alice}) == Door::refused);
    CHECK(b.access().look(Bench::head("POST", "/herd/v1/stop", {alice}), wall).what == proxy::Shown::What::nothing);
    b.require_key = false;
    CHECK(b.door("POST", "/api/chat", {alice}) == Door::refused); // a named key that is not good lets nobody in
    b.keys.clear();
    CHECK(b.door("POST", "/api/chat", {alice}) == Door::refused);
}

TEST_CASE("ollana A6: ids that knock are listed, newest first, and no flood of them pushes others out of sight")
{
    DeviceBook book({.own_id = std::string(64, 'f')});
    book.knocked(alice, somewhere, wall);
    book.knocked(bob, base::IpAddress::v4({10, 77, 0, 10}), wall);
    book.knocked(alice, somewhere, wall + std::chrono::seconds{5});
    for (const std::string& bad : {std::string("x"), std::string(64, 'G'), std::string(65, 'a'), std::string{}}) {
        book.knocked(bad, somewhere, wall);
    }
    REQUIRE(book.knocks().size() == 2);
    CHECK(book.knocks().back().id == alice);
    CHECK(book.knocks().back().count == 2);
    for (int i = 0; i < 1000; ++i) {
        const auto hash = net::sha256(std::to_string(i));
        book.knocked(base::to_hex(hash), somewhere, wall);
    }
    CHECK(book.knocks().size() <= 1 + knocks_per_address_max);
    CHECK(std::ranges::count(book.knocks(), bob, &Knock::id) == 1);
    for (int i = 0; i < 1000; ++i) {
        const auto hash = net::sha256("x" + std::to_string(i));
        book.knocked(base::to_hex(hash), base::IpAddress::v4({10, 78, static_cast<std::uint8_t>(i / 250), static_cast<std::uint8_t>(i % 250)}), wall);
    }
    CHECK(book.knocks().size() <= knocks_max);
}

TEST_CASE("a device is allowed by its id or by the beginning of a known one")
{
    DeviceBook book;
    book.knocked(alice, somewhere, wall);
    CHECK(book.find("aaaaaaaa").id == alice);
    CHECK(book.find("aaaaaaa").id.empty()); // too short to be sure
    CHECK(book.find("cccccccc").problem.find("no device") != std::string::npos);
    CHECK(book.find("AAAAAAAA").id.empty());
    CHECK(book.find(bob).id == bob); // in full: also one that never knocked
    book.knocked("aaaaaaaa" + std::string(56, '0'), somewhere, wall);
    CHECK(book.find("aaaaaaaa").problem.find("several") != std::string::npos);

    CHECK(book.allow(alice, {}, wall));
    CHECK(book.knocks().size() == 1);
    CHECK(book.rules().allowed.size() == 1);
    CHECK(book.allow(alice, "key-1", wall)); // again: what it acts as is changed
    CHECK(book.allowed(alice)->key_id == "key-1");
    CHECK(book.disable(alice));
    CHECK_FALSE(book.disable(alice));
    CHECK(book.rules().allowed.empty());
}

TEST_CASE("the list says what is to be done")
{
    DeviceBook book({.own_id = std::string(64, 'f')});
    CHECK(book.allow(alice, {}, wall));
    CHECK(book.allow(bob, "key-1", wall));
    book.knocked(stranger, somewhere, wall);
    BookScene scene{.clients = true, .require_key = true};
    scene.key = [](const std::string&) { return KeyShown{"laptops", true}; };
    const auto json = nlohmann::json::parse(book_json(book, scene));
    CHECK(json["device_id"] == std::string(64, 'f'));
    CHECK(json["devices"].size() == 3);
    CHECK(json["devices"][0]["usable"] == false); // keys are required, and it has none
    CHECK(json["devices"][0]["advice"].get<std::string>().find("--as NAME") != std::string::npos);
    CHECK(json["devices"][1]["usable"] == true);
    CHECK(json["devices"][1]["key"] == "laptops");
    CHECK(json["devices"][2]["state"] == "knocked");
    CHECK(json["devices"][2]["from"] == "10.77.0.9");
    CHECK(json["devices"][2]["advice"] == "herd device allow " + stranger);
}

TEST_CASE("the body of an approval names a key or nothing")
{
    CHECK(parse_allow("") == std::string{});
    CHECK(parse_allow("{}") == std::string{});
    CHECK(parse_allow(R"({"key":"laptops"})") == std::string{"laptops"});
    CHECK(parse_allow(R"({"key":null})") == std::string{});
    for (const char* bad : {"[]", "x", R"({"key":1})", R"({"keys":"a"})"}) {
        CHECK_FALSE(parse_allow(bad));
    }
}
