#include "discovery/authenticator.hpp"

#include "net/crypto.hpp"
#include "support/catch.hpp"
#include "vectors.hpp"

using namespace herd;
using namespace herd::discovery;

TEST_CASE("SHA-256 and HMAC-SHA256 give the published digests")
{
    CHECK(base::to_hex(net::sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    // RFC 4231, test cases 1, 2 and 6 (a key longer than the block).
    CHECK(base::to_hex(net::hmac_sha256(Octets(20, 0x0b), net::bytes_of("Hi There")))
          == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(base::to_hex(net::hmac_sha256(net::bytes_of("Jefe"), net::bytes_of("what do ya want "), net::bytes_of("for nothing?")))
          == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(base::to_hex(net::hmac_sha256(Octets(131, 0xaa),
                                        net::bytes_of("Test Using Larger Than Block-Size Key - Hash Key First")))
          == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("the MAC key is derived as lana.md says")
{
    CHECK(base::to_hex(net::hmac_sha256(vectors::fleet_key().secret, net::bytes_of("herd/lana/v1/mac")))
          == "f8942b661e42478bf8e144eed406b061c8d3039628c43667ce654921d89f798a");
}

TEST_CASE("comparison in constant time compares")
{
    const Octets a{1, 2, 3};
    CHECK(net::constant_time_equal(a, Octets{1, 2, 3}));
    CHECK_FALSE(net::constant_time_equal(a, Octets{1, 2, 4}));
    CHECK_FALSE(net::constant_time_equal(a, Octets{1, 2}));
}

TEST_CASE("modes accept and refuse as stated")
{
    const auto keyed = vectors::v3();
    const auto plain = vectors::v6();
    const auto verdict = [](const Authenticator& auth, const Octets& bytes) {
        return auth.check(parse_header(bytes).value(), bytes);
    };
    const Authenticator off;
    CHECK(verdict(off, plain).value() == false);
    CHECK(verdict(off, keyed).error() == Drop::bad_key);
    const auto permissive = vectors::lab(AuthMode::permissive);
    CHECK(verdict(permissive, plain).value() == false);
    CHECK(verdict(permissive, keyed).value() == true);
    const auto require = vectors::lab(AuthMode::require);
    CHECK(verdict(require, plain).error() == Drop::unauthenticated);
    CHECK(verdict(require, keyed).value() == true);
    auto other = vectors::fleet_key();
    other.secret[0] ^= 1;
    CHECK(verdict(*Authenticator::make(AuthMode::require, {other}), keyed).error() == Drop::bad_mac);
    CHECK(verdict(*Authenticator::make(AuthMode::require, {vectors::fleet_key(2)}), keyed).error() == Drop::bad_key);
}

TEST_CASE("a ring signs with its first key and accepts all of them")
{
    auto fresh = vectors::fleet_key(2);
    fresh.secret.assign(16, 0x55);
    const auto ring = Authenticator::make(AuthMode::require, {fresh, vectors::fleet_key(1)});
    REQUIRE(ring);
    CHECK(ring->primary() == 2);
    const auto bytes = vectors::v3();
    CHECK(ring->check(*parse_header(bytes), bytes).value());
    const Octets ours = ring->sealed(vectors::herd_header(), Beacon{});
    CHECK(ours[11] == 2);
    CHECK(ring->check(*parse_header(ours), ours).value());
}

TEST_CASE("rings that cannot be are refused with a sentence")
{
    const auto key = vectors::fleet_key();
    CHECK_FALSE(Authenticator::make(AuthMode::require, {}));
    CHECK_FALSE(Authenticator::make(AuthMode::permissive, {key, key}));
    CHECK_FALSE(Authenticator::make(AuthMode::permissive, {vectors::fleet_key(0)}));
    CHECK_FALSE(Authenticator::make(AuthMode::permissive, {FleetKey{1, Octets(15)}}));
    std::vector<FleetKey> nine;
    for (std::uint8_t id = 1; id <= 9; ++id) {
        nine.push_back(vectors::fleet_key(id));
    }
    CHECK_FALSE(Authenticator::make(AuthMode::permissive, nine));
    nine.pop_back();
    CHECK(Authenticator::make(AuthMode::permissive, nine));
}

TEST_CASE("Herd-MAC covers the nonce and the body")
{
    const auto auth = vectors::lab();
    const HttpNonce nonce{1, 2, 3};
    const std::string mac = auth.http_mac(nonce, "{}");
    CHECK(mac.size() == 64);
    CHECK(auth.http_check(nonce, "{}", mac));
    CHECK_FALSE(auth.http_check(nonce, "{ }", mac));
    CHECK_FALSE(auth.http_check(HttpNonce{1, 2, 4}, "{}", mac));
    CHECK_FALSE(auth.http_check(nonce, "{}", mac.substr(2)));
    CHECK(Authenticator{}.http_mac(nonce, "{}").empty());
    CHECK_FALSE(Authenticator{}.http_check(nonce, "{}", mac));
    CHECK(parse_nonce(nonce_text(nonce)) == nonce);
    CHECK_FALSE(parse_nonce("12"));
}

TEST_CASE("a ring is part of another when each of its keys is there, id and secret")
{
    auto second = vectors::fleet_key(2);
    second.secret.assign(16, 0x55);
    const auto one = vectors::lab();
    const auto both = *Authenticator::make(AuthMode::require, {second, vectors::fleet_key(1)});
    auto changed = vectors::fleet_key(1);
    changed.secret[0] ^= 1;
    CHECK(one.is_part_of(both));
    CHECK_FALSE(both.is_part_of(one));
    CHECK(Authenticator{}.is_part_of(one));
    CHECK_FALSE(one.is_part_of(*Authenticator::make(AuthMode::require, {changed})));
    CHECK(both.key_ids() == std::vector<std::uint8_t>{2, 1});
}

TEST_CASE("a ring that is written is read as it was")
{
    auto second = vectors::fleet_key(200);
    second.secret.assign(16, 0x55);
    const auto read = parse_fleet_keys(format_fleet_keys({second, vectors::fleet_key(1)}));
    REQUIRE(read);
    REQUIRE(read->size() == 2);
    CHECK(read->at(0).id == 200);
    CHECK(read->at(0).secret == second.secret);
    CHECK(read->at(1).id == 1);
}

TEST_CASE("a fleet key file is read strictly")
{
    const std::string hex = base::to_hex(vectors::fleet_key().secret);
    const auto keys = parse_fleet_keys("# lab\n\n7 " + hex + " # new\n" + hex.substr(0, 32) + "\n");
    REQUIRE(keys);
    REQUIRE(keys->size() == 2);
    CHECK(keys->at(0).id == 7);
    CHECK(keys->at(0).secret == vectors::fleet_key().secret);
    CHECK(keys->at(1).id == 2);
    CHECK(parse_fleet_keys(make_fleet_key_line(3))->at(0).id == 3);
    for (const std::string& bad : {std::string{}, std::string{"# nothing"}, "0 " + hex, "256 " + hex, "1 " + hex.substr(0, 30),
                                  "1 " + hex + "0", std::string{"1 zz"}, "1 2 " + hex}) {
        const auto failed = parse_fleet_keys(bad);
        REQUIRE_FALSE(failed);
        CHECK(failed.error().code == base::Errc::bad_config);
        CHECK(failed.error().context.find(hex.substr(0, 16)) == std::string::npos);
    }
}
