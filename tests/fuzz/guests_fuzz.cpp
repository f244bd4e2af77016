// What decides who may join and who may ask: a key file, a proof, a challenge, a nonce and a MAC. The first byte
// chooses. What is read must be written the same, and nothing that was not made with the key passes.
#include "discovery/proof.hpp"

#include <cstdio>
#include <cstdlib>
#include <source_location>

using namespace herd;
using namespace herd::discovery;

namespace {

void require(bool condition, std::source_location where = std::source_location::current())
{
    if (!condition) {
        std::fprintf(stderr, "line %u does not hold\n", where.line());
        std::abort();
    }
}

base::Uuid id(std::uint8_t first)
{
    base::Uuid id;
    id.bytes[0] = first;
    return id;
}

const Authenticator& keys()
{
    static const Authenticator ring = *Authenticator::make(AuthMode::require, {FleetKey{1, Octets(32, 0x5a)}});
    return ring;
}

void key_file(const std::string& text)
{
    const auto ring = parse_fleet_keys(text);
    if (!ring) {
        require(ring.error().code == base::Errc::bad_config && !ring.error().context.empty());
        return;
    }
    require(!ring->empty() && ring->size() <= key_ring_limit);
    const auto again = parse_fleet_keys(format_fleet_keys(*ring));
    require(again && again->size() == ring->size());
    for (std::size_t i = 0; i < ring->size(); ++i) {
        require(again->at(i).id == ring->at(i).id && again->at(i).secret == ring->at(i).secret);
    }
}

void proof(const std::string& text)
{
    const base::Instant now{std::chrono::seconds{1000}};
    const base::IpAddress peer = base::IpAddress::v4({10, 0, 0, 1});
    ProofGate gate(id(1), 7);
    gate.said(now, 1);
    const auto verdict = gate.judge(now, 100, text, peer, keys());
    const auto parsed = parse_proof(text);
    if (!parsed) {
        require(verdict == ProofGate::Verdict::malformed);
        return;
    }
    const std::string right = make_proof(keys(), parsed->herd, id(1), parsed->tick);
    const bool fresh = parsed->tick.boot_id == 7 && parsed->tick.seq >= 1 && parsed->tick.seq <= 100;
    const auto same = parse_proof(right);
    require(same && same->herd == parsed->herd && same->tick == parsed->tick);
    require((verdict == ProofGate::Verdict::good) == (fresh && same->mac == parsed->mac));
    require(gate.judge(now, 100, text, peer, keys()) == verdict); // remembered or not
}

void challenge(const std::string& text)
{
    if (const auto tick = parse_challenge(text)) {
        require(parse_challenge(challenge_json("no", *tick)) == tick);
    }
}

void nonce_and_mac(const std::string& text)
{
    const auto nonce = parse_nonce(text.substr(0, 32));
    require(!nonce || nonce_text(*nonce).size() == 32);
    const HttpNonce used = nonce.value_or(HttpNonce{});
    const bool right = text == keys().http_mac(used, "{}");
    require(keys().http_check(used, "{}", text) == right || text.size() == 64); // hex of either case
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    const std::string text(data + 1, data + size);
    switch (data[0] % 4) {
    case 0: key_file(text); break;
    case 1: proof(text); break;
    case 2: challenge(text); break;
    default: nonce_and_mac(text); break;
    }
    return 0;
}
