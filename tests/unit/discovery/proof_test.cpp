// What a herd must show to an agent of a keyed fleet, and what does not pass.
#include "discovery/proof.hpp"

#include "support/catch.hpp"
#include "vectors.hpp"

using namespace herd;
using namespace herd::discovery;
using namespace std::chrono_literals;
using Verdict = ProofGate::Verdict;

namespace {

const base::IpAddress herd_address = base::IpAddress::v4({192, 168, 7, 1});
const base::IpAddress thief = base::IpAddress::v4({192, 168, 7, 66});

Authenticator other_key()
{
    FleetKey key{1, Octets(32, 0x55)};
    return *Authenticator::make(AuthMode::require, {key});
}

struct Door {
    Verdict show(std::optional<std::string_view> text, const base::IpAddress& from = herd_address)
    {
        return gate.judge(now, seq, text, from, keys);
    }
    [[nodiscard]] std::string proof(std::uint32_t named) const
    {
        return make_proof(keys, vectors::herd_id, vectors::node_id, {vectors::boot_id, named});
    }
    /// Time passes; the agent speaks once a second.
    void run(base::Duration span)
    {
        for (const base::Instant until = now + span; now < until; now += 1s) {
            gate.said(now, ++seq);
        }
    }

    Authenticator keys{vectors::lab()};
    ProofGate gate{vectors::node_id, vectors::boot_id};
    base::Instant now{1000s};
    std::uint32_t seq{0};
};

} // namespace

TEST_CASE("a proof of a recent announcement passes, again and again")
{
    Door door;
    door.run(100s);
    const std::string proof = door.proof(door.seq);
    CHECK(proof.size() < 160);
    CHECK(door.show(proof) == Verdict::good);
    CHECK(door.show(proof) == Verdict::good);
    door.run(30s);
    CHECK(door.show(proof) == Verdict::good);
    CHECK(door.show(door.proof(door.seq - 20)) == Verdict::good);
}

TEST_CASE("a proof is good for about a minute, and never for what was not said yet")
{
    Door door;
    door.run(100s);
    const std::string early = door.proof(door.seq);
    CHECK(door.show(early) == Verdict::good);
    CHECK(door.show(door.proof(door.seq + 1)) == Verdict::too_old);
    CHECK(door.show(door.proof(10)) == Verdict::too_old);
    door.run(70s);
    CHECK(door.show(early) == Verdict::too_old); // although it was seen to be right before
    door.now += 10min;                           // the process was stopped: nothing marked the time
    CHECK(door.show(door.proof(door.seq - 5)) == Verdict::too_old);
    CHECK(door.show(door.proof(door.seq)) == Verdict::good);
}

TEST_CASE("a proof that was shown from one address is of no use from another")
{
    Door door;
    door.run(10s);
    const std::string copied = door.proof(door.seq);
    CHECK(door.show(copied) == Verdict::good);
    CHECK(door.show(copied, thief) == Verdict::borrowed);
    CHECK(door.show(copied) == Verdict::good);
    door.run(1s);
    CHECK(door.show(door.proof(door.seq), thief) == Verdict::good); // the herd itself, at a new address
}

TEST_CASE("what does not pass")
{
    Door door;
    door.run(10s);
    const std::string good = door.proof(door.seq);
    CHECK(door.show(std::nullopt) == Verdict::missing);
    for (const std::string& bad : {std::string{}, std::string{"x"}, good + "0", good.substr(1), ' ' + good, good + ' ',
                                  good.substr(0, good.size() - 2), std::string(5000, 'a'), good + good}) {
        CHECK(door.show(bad) == Verdict::malformed);
    }
    std::string flipped = good;
    flipped.back() = flipped.back() == '0' ? '1' : '0';
    CHECK(door.show(flipped) == Verdict::wrong);
    const Tick tick{vectors::boot_id, door.seq};
    CHECK(door.show(make_proof(other_key(), vectors::herd_id, vectors::node_id, tick)) == Verdict::wrong);
    CHECK(door.show(make_proof(door.keys, vectors::herd_id, vectors::herd_id, tick)) == Verdict::wrong); // for another agent
    CHECK(door.show(make_proof(door.keys, vectors::herd_id, vectors::node_id, {vectors::boot_id - 1, door.seq})) == Verdict::other_life);
    std::string renamed = good; // another herd's name on it
    renamed[0] = renamed[0] == '0' ? '1' : '0';
    CHECK(door.show(renamed) == Verdict::wrong);
}

TEST_CASE("keys that are gone open nothing")
{
    Door door;
    door.run(10s);
    const std::string proof = door.proof(door.seq);
    CHECK(door.show(proof) == Verdict::good);
    door.keys = other_key();
    door.gate.forget();
    CHECK(door.show(proof) == Verdict::wrong);
}

TEST_CASE("the seq of a proof may wrap")
{
    Door door;
    door.seq = 0xFFFFFFF8;
    door.run(4s);
    const std::string before = door.proof(door.seq);
    door.run(10s);
    CHECK(door.seq < 100);
    CHECK(door.show(before) == Verdict::good);
    CHECK(door.show(door.proof(door.seq)) == Verdict::good);
}

TEST_CASE("a herd makes a proof when it first hears an agent, then every ten seconds, and at each start of it")
{
    std::vector<std::string> made;
    ProofBook book(vectors::herd_id, vectors::lab(),
                   [&](const base::NodeId&, const std::shared_ptr<const std::string>& text) { made.push_back(text ? *text : "none"); });
    base::Instant now{1000s};
    CHECK(book.proof(vectors::node_id) == nullptr);
    CHECK_FALSE(book.knows(vectors::node_id));
    for (std::uint32_t seq = 1; seq <= 25; ++seq, now += 1s) {
        book.heard(now, vectors::node_id, {7, seq});
    }
    REQUIRE(made.size() == 3);
    CHECK(parse_proof(made[0])->tick == Tick{7, 1});
    CHECK(parse_proof(made[1])->tick == Tick{7, 11});
    CHECK(*book.proof(vectors::node_id) == made.back());
    book.heard(now, vectors::node_id, {7, 3}); // late: not newer
    CHECK(made.size() == 3);
    book.heard(now, vectors::node_id, {8, 1});
    CHECK(parse_proof(made.back())->tick == Tick{8, 1});
    book.challenged(now, vectors::node_id, {8, 5});
    CHECK(parse_proof(made.back())->tick == Tick{8, 5});
    CHECK(made.size() == 5);
}

TEST_CASE("other keys make other proofs at once, and no key makes none")
{
    std::vector<std::string> made;
    ProofBook book(vectors::herd_id, vectors::lab(),
                   [&](const base::NodeId&, const std::shared_ptr<const std::string>& text) { made.push_back(text ? *text : "none"); });
    const base::Instant now{1000s};
    book.heard(now, vectors::node_id, {7, 1});
    book.set_authenticator(now, other_key());
    REQUIRE(made.size() == 2);
    CHECK(made[0] != made[1]);
    book.set_authenticator(now, {});
    CHECK(made.back() == "none");
    CHECK_FALSE(book.knows(vectors::node_id));
    book.heard(now, vectors::node_id, {7, 2});
    CHECK(made.size() == 3);
}

TEST_CASE("a challenge names an announcement and is read strictly")
{
    const std::string text = challenge_json("no \"entry\"", {vectors::boot_id, 42});
    CHECK(parse_challenge(text) == Tick{vectors::boot_id, 42});
    for (const char* bad : {"", "{}", "[]", R"({"boot_id":1})", R"({"boot_id":-1,"seq":1})", R"({"boot_id":1,"seq":4294967296})", R"({"boot_id":"1","seq":1})"}) {
        CHECK_FALSE(parse_challenge(bad));
    }
    CHECK_FALSE(parse_challenge(std::string(2000, ' ') + text));
}
