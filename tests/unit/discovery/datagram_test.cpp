#include "discovery/datagram.hpp"

#include "base/random.hpp"
#include "support/catch.hpp"
#include "vectors.hpp"

#include <algorithm>

using namespace herd;
using namespace herd::discovery;

namespace {

std::expected<std::pair<Header, Body>, Drop> decode(ByteView bytes)
{
    const auto parsed = parse_header(bytes);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    auto body = parse_body(*parsed, bytes);
    if (!body) {
        return std::unexpected(body.error());
    }
    return std::pair{parsed->header, std::move(*body)};
}

/// A datagram of `type` with these TLV bytes.
Octets with_tlvs(Type type, std::string_view hex)
{
    Header header = type == Type::announce || type == Type::leave ? vectors::node_header() : vectors::herd_header();
    header.api_port = 11434;
    Octets bytes = encode(header, Announce{});
    bytes.resize(header_bytes);
    bytes[5] = static_cast<std::uint8_t>(type);
    const Octets tlvs = vectors::bytes(hex);
    bytes.insert(bytes.end(), tlvs.begin(), tlvs.end());
    bytes[8] = static_cast<std::uint8_t>(bytes.size() >> 8);
    bytes[9] = static_cast<std::uint8_t>(bytes.size());
    return bytes;
}

constexpr std::string_view agent = "07042cac0100";

Announce random_announce(base::Rng& rng)
{
    const auto u16 = [&] { return static_cast<std::uint16_t>(rng.next()); };
    const auto u32 = [&] { return static_cast<std::uint32_t>(rng.next()); };
    const auto text = [&](std::size_t limit) {
        std::string s(rng.between(0, limit), 'x');
        std::ranges::generate(s, [&] { return static_cast<char>(rng.between(0x20, 0x7E)); });
        return s;
    };
    Announce a;
    a.agent = {static_cast<std::uint16_t>(rng.between(1, 65535)), 1, static_cast<std::uint8_t>(rng.between(0, 7))};
    if (rng.chance(0.8)) {
        Host h{u16(), u16(), static_cast<std::uint16_t>(rng.between(0, 1000)), u16(), u32(), 0, u32(),
               static_cast<std::uint16_t>(rng.between(0, 10000)), static_cast<std::int16_t>(rng.between(0, 1000))};
        h.ram_available_mib = h.ram_total_mib / 2;
        a.host = h;
    }
    if (rng.chance(0.8)) {
        Load l{u16(), u16(), u16(), 0, u16(), u16(), u32()};
        l.slots_free = l.slots_total;
        a.load = l;
    }
    for (auto n = rng.between(0, 6); n > 0; --n) {
        Gpu g;
        g.index = static_cast<std::uint8_t>(n);
        g.busy_percent = static_cast<std::uint8_t>(rng.between(0, 100));
        g.vram_total_mib = u32();
        g.vram_free_mib = g.vram_total_mib / 3;
        g.uuid_hash = u32();
        a.gpus.push_back(g);
    }
    for (auto n = rng.between(0, 24); n > 0; --n) {
        a.models.push_back({rng.next(), static_cast<std::uint8_t>(n), static_cast<std::uint8_t>(rng.between(0, 3)), u16()});
    }
    for (auto n = rng.between(0, 4); n > 0; --n) {
        a.addresses.push_back({*base::IpAddress::parse(rng.chance(0.5) ? "10.1.2.3" : "fd00::7"), 24});
    }
    a.name = text(63);
    a.agent_version = text(31);
    a.backend_version = text(31);
    for (auto n = rng.between(0, 8); n > 0; --n) {
        a.herds.push_back(rng.next());
    }
    if (rng.chance(0.5)) {
        a.echo = Echo{rng.next(), rng.next()};
    }
    return a;
}

} // namespace

TEST_CASE("V1, the bare LANA, is told apart as legacy")
{
    CHECK(parse_header(vectors::v1()).error() == Drop::legacy);
}

TEST_CASE("V2, an unkeyed beacon, encodes and decodes byte for byte")
{
    Header header = vectors::herd_header();
    header.flags |= flag::solicit;
    header.seq = 1;
    const Beacon beacon{0x0102030405060708, 3, 200, 1000};
    CHECK(encode(header, beacon) == vectors::v2());
    header.type = Type::beacon;
    const auto decoded = decode(vectors::v2());
    REQUIRE(decoded);
    CHECK(decoded->first == header);
    CHECK(std::get<Beacon>(decoded->second) == beacon);
}

TEST_CASE("V3, a keyed announcement with every TLV, encodes and decodes byte for byte")
{
    Header header = vectors::node_header();
    header.flags = flag::reply;
    header.key_id = 1;
    header.seq = 42;
    header.api_port = 11434;
    header.state_rev = 7;
    header.cluster = cluster_of("lab");
    CHECK(vectors::lab().sealed(header, vectors::full_announce()) == vectors::v3());
    const auto decoded = decode(vectors::v3());
    REQUIRE(decoded);
    CHECK(decoded->first == header);
    CHECK(std::get<Announce>(decoded->second) == vectors::full_announce());
}

TEST_CASE("V4 and V5, a keyed acknowledgement and a keyed leave, encode and decode byte for byte")
{
    Header header = vectors::herd_header();
    header.flags |= flag::reply;
    header.key_id = 1;
    header.seq = 9;
    header.cluster = cluster_of("lab");
    header.type = Type::ack;
    const Ack ack{vectors::boot_id, 42, 1000, 0};
    CHECK(vectors::lab().sealed(header, ack) == vectors::v4());
    const auto decoded = decode(vectors::v4());
    REQUIRE(decoded);
    CHECK(decoded->first == header);
    CHECK(std::get<Ack>(decoded->second) == ack);

    Header bye = vectors::node_header();
    bye.key_id = 1;
    bye.state = 3;
    bye.seq = 43;
    bye.api_port = 11434;
    bye.state_rev = 7;
    bye.cluster = cluster_of("lab");
    bye.type = Type::leave;
    const Leave leave{1, 0};
    CHECK(vectors::lab().sealed(bye, leave) == vectors::v5());
    const auto left = decode(vectors::v5());
    REQUIRE(left);
    CHECK(left->first == bye);
    CHECK(std::get<Leave>(left->second) == leave);
}

TEST_CASE("V6, the default announcement behind a gateway, encodes and decodes byte for byte")
{
    Header header = vectors::node_header();
    header.flags = flag::want_ack;
    header.seq = 1;
    header.api_port = 11436;
    header.state_rev = 1;
    Announce a;
    a.agent = {11436, 1, 0};
    a.host = Host{8, 4, 50, 35, 32 * 1024, 24 * 1024, 0, 0, 482};
    a.load = Load{0, 0, 1, 1, 0, 3, 0};
    CHECK(encode(header, a) == vectors::v6());
    const auto decoded = decode(vectors::v6());
    REQUIRE(decoded);
    CHECK(decoded->first == header);
    CHECK(std::get<Announce>(decoded->second) == a);
}

TEST_CASE("names of fleets and models hash as the vectors say")
{
    CHECK(cluster_of("lab") == 0xA51146D3);
    CHECK(cluster_of("") == 0);
    CHECK(model_hash("llama3.2:3b") == 0x925B2CAF983238A5);
    CHECK(model_hash("llama3") == model_hash("llama3:latest"));
    CHECK(model_hash("host:5000/llama3") == model_hash("host:5000/llama3:latest"));
}

TEST_CASE("every prefix of a valid datagram is rejected, except the four bytes that are legacy")
{
    for (const Octets& whole : {vectors::v2(), vectors::v3(), vectors::v4(), vectors::v5(), vectors::v6()}) {
        for (std::size_t n = 0; n < whole.size(); ++n) {
            const auto prefix = ByteView(whole).first(n);
            const auto parsed = parse_header(prefix);
            REQUIRE_FALSE(parsed);
            const Drop expected = n == 0 ? Drop::empty
                : n < 4                  ? Drop::bad_magic
                : n == 4                 ? Drop::legacy
                : n < 64                 ? Drop::too_short
                                         : Drop::bad_length;
            CHECK(parsed.error() == expected);
        }
        Octets longer = whole;
        longer.push_back(0);
        CHECK(parse_header(longer).error() == Drop::bad_length);
    }
}

TEST_CASE("no single flipped bit makes the parser leave its bytes or invent a value out of range")
{
    for (const Octets& whole : {vectors::v2(), vectors::v3(), vectors::v4(), vectors::v5(), vectors::v6()}) {
        for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
            Octets flipped = whole;
            flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
            const auto decoded = decode(flipped);
            if (decoded) {
                CHECK(decoded->first.interval_ms >= 100);
                CHECK(decoded->first.detect_mult >= 2);
                CHECK(decoded->first.detect_mult <= 10);
                if (const auto* a = std::get_if<Announce>(&decoded->second)) {
                    CHECK(a->agent.port != 0);
                }
            }
        }
    }
}

TEST_CASE("a keyed datagram with any flipped bit fails its MAC or earlier")
{
    const auto auth = vectors::lab();
    for (const Octets& whole : {vectors::v3(), vectors::v4(), vectors::v5()}) {
        const auto good = parse_header(whole);
        REQUIRE(good);
        CHECK(auth.check(*good, whole).value());
        for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
            Octets flipped = whole;
            flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
            const auto parsed = parse_header(flipped);
            CHECK((!parsed || !auth.check(*parsed, flipped)));
        }
    }
}

TEST_CASE("each broken header is named")
{
    const auto broken = [](std::size_t at, std::uint8_t value) {
        Octets bytes = vectors::v6();
        bytes[at] = value;
        const auto parsed = parse_header(bytes);
        REQUIRE_FALSE(parsed);
        return parsed.error();
    };
    CHECK(broken(0, 'X') == Drop::bad_magic);
    CHECK(broken(4, 2) == Drop::bad_version);
    CHECK(broken(9, 0x73) == Drop::bad_length);
    CHECK(broken(10, 63) == Drop::bad_header);
    CHECK(broken(10, 115) == Drop::bad_header);
    CHECK(broken(5, 0) == Drop::bad_type);
    CHECK(broken(5, 5) == Drop::bad_type);
    CHECK(broken(5, 2) == Drop::bad_type);      // a beacon must carry the herd flag
    CHECK(broken(7, 0x10) == Drop::bad_type);   // an announcement must not
    CHECK(parse_header(Octets(1201, 0)).error() == Drop::oversize);
}

TEST_CASE("promises outside their range are clamped and counted")
{
    Octets bytes = vectors::v6();
    bytes[12] = bytes[13] = 0;
    bytes[14] = 255;
    const auto parsed = parse_header(bytes);
    REQUIRE(parsed);
    CHECK(parsed->clamped);
    CHECK(parsed->header.interval_ms == 100);
    CHECK(parsed->header.detect_mult == 10);
}

TEST_CASE("bytes of a longer header are skipped")
{
    Octets bytes = vectors::v6();
    bytes.insert(bytes.begin() + 64, {1, 2, 3, 4});
    bytes[9] = static_cast<std::uint8_t>(bytes.size());
    bytes[10] = 68;
    CHECK(decode(bytes).has_value());
}

TEST_CASE("broken TLVs are refused")
{
    const auto fails = [](Type type, const std::string& hex) {
        const auto decoded = decode(with_tlvs(type, hex));
        return !decoded && decoded.error() == Drop::bad_tlv;
    };
    const std::string a{agent};
    CHECK(decode(with_tlvs(Type::announce, a)).has_value());
    CHECK(fails(Type::announce, ""));                            // AGENT is required
    CHECK(fails(Type::announce, a + a));                         // and a singleton
    CHECK(fails(Type::announce, "070400000100"));                // port 0
    CHECK(fails(Type::announce, a + "01"));                      // half a TLV head
    CHECK(fails(Type::announce, a + "0105616263"));              // longer than what is left
    CHECK(fails(Type::announce, a + "0100"));                    // empty NAME
    CHECK(fails(Type::announce, a + "0140" + std::string(128, '6')));
    CHECK(fails(Type::announce, a + "0217" + std::string(46, '0')));
    CHECK(fails(Type::announce, a + "0505" + std::string(10, '0'))); // MODELS not n × 12
    CHECK(fails(Type::announce, a + "0607" + std::string(14, '0')));
    CHECK(fails(Type::announce, a + "0606" + "0520c0a80702"));   // no such family
    CHECK(fails(Type::announce, a + "0606" + "0421c0a80702"));   // prefix 33
    CHECK(fails(Type::announce, a + "0612" + "0418" + std::string(32, '0')));
    CHECK(fails(Type::announce, a + "0a09" + std::string(18, '0')));
    CHECK(fails(Type::beacon, "0b080102030405060708"));          // HERDINFO is required
    CHECK(fails(Type::ack, ""));
    CHECK(fails(Type::leave, ""));
    std::string many = a;
    for (int i = 0; i < 64; ++i) {
        many += "7f00";
    }
    CHECK(fails(Type::announce, many));
    std::string gpus = a;
    for (int i = 0; i < 17; ++i) {
        gpus += "0418" + std::string(48, '0');
    }
    CHECK(fails(Type::announce, gpus));
    std::string models = a + "05fc" + std::string(252 * 2, '0') + "0530" + std::string(48 * 2, '0'); // 21 + 4
    CHECK(fails(Type::announce, models));
}

TEST_CASE("unknown TLVs are skipped unless they are critical")
{
    const std::string a{agent};
    CHECK(decode(with_tlvs(Type::announce, a + "7f03010203")).has_value());
    CHECK(decode(with_tlvs(Type::announce, "1000" + a)).has_value());
    CHECK(decode(with_tlvs(Type::announce, a + "8000")).error() == Drop::unknown_critical);
}

TEST_CASE("numbers that cannot be are clamped or become unknown")
{
    const std::string a{agent};
    const auto decoded = decode(with_tlvs(
        Type::announce, a + "0218" + "0008000403e9ffff" + "00000064" + "00000065" + "00000000" + "2711" + "01e2" // HOST
                            + "0310" + "0000000000020003" + "0000000000000000"                                     // LOAD
                            + "0418" + "00016536" + "00000010" + "00000011" + "0000000000000000" + "deadbeef"));
    REQUIRE(decoded);
    const auto& announce = std::get<Announce>(decoded->second);
    CHECK(announce.host->cpu_busy_permille == unknown<std::uint16_t>);
    CHECK(announce.host->psi_memory_x100 == unknown<std::uint16_t>);
    CHECK(announce.host->ram_available_mib == 100);
    CHECK(announce.load->slots_free == 2);
    CHECK(announce.gpus.at(0).busy_percent == unknown<std::uint8_t>);
    CHECK(announce.gpus.at(0).vram_free_mib == 16);
}

TEST_CASE("text that is not clean is left out, and that alone")
{
    const std::string a{agent};
    for (const std::string& bad : {"0103610a62", "0102c328", "01037fffff", "0103c28561"}) {
        const auto decoded = decode(with_tlvs(Type::announce, a + bad));
        REQUIRE(decoded);
        CHECK(std::get<Announce>(decoded->second).name.empty());
    }
    CHECK(std::get<Announce>(decode(with_tlvs(Type::announce, a + "0103c3a478"))->second).name == "\xC3\xA4x");
}

TEST_CASE("a routable announcement needs an API port")
{
    Header header = vectors::node_header();
    CHECK(decode(encode(header, Announce{})).error() == Drop::bad_tlv);
    header.state = 4;
    CHECK(decode(encode(header, Announce{})).has_value());
}

TEST_CASE("decode(encode(x)) = x for random announcements that fit")
{
    base::Rng rng(1);
    for (int i = 0; i < 3000; ++i) {
        Header header = vectors::node_header();
        header.seq = static_cast<std::uint32_t>(rng.next());
        header.api_port = 11434;
        header.state_rev = static_cast<std::uint32_t>(rng.next());
        const Announce announce = random_announce(rng);
        const Octets bytes = encode(header, announce);
        REQUIRE(bytes.size() <= datagram_bytes_limit);
        const auto decoded = decode(bytes);
        REQUIRE(decoded);
        CHECK(decoded->first == header);
        CHECK(std::get<Announce>(decoded->second) == announce);
    }
}

TEST_CASE("lists and texts are cut at their caps, and everything at its cap still fits")
{
    Announce big = vectors::full_announce();
    big.gpus.resize(20, big.gpus.front());
    big.models.resize(30, big.models.front());
    big.addresses.assign(6, {*base::IpAddress::parse("fd00::1"), 64});
    big.herds.assign(10, 7);
    big.name = std::string(80, 'n');
    big.agent_version = std::string(40, 'a');
    big.backend_version = std::string(40, 'b');
    Header header = vectors::node_header();
    header.api_port = 11434;
    header.key_id = 1;
    const Octets bytes = encode(header, big);
    CHECK(bytes.size() == 1149); // the figure of lana.md 2.3
    const auto decoded = decode(bytes);
    REQUIRE(decoded);
    const auto& kept = std::get<Announce>(decoded->second);
    CHECK(kept.gpus.size() == 16);
    CHECK(kept.models.size() == 24);
    CHECK(kept.addresses.size() == 4);
    CHECK(kept.herds.size() == 8);
    CHECK(kept.name.size() == 63);
}

TEST_CASE("an announcement that is too large loses its least important parts first")
{
    Announce full = vectors::full_announce();
    full.gpus.resize(16, full.gpus.front());
    full.models.resize(24, full.models.front());
    full.addresses.resize(4, full.addresses.front());
    Header header = vectors::node_header();
    header.api_port = 11434;
    const auto at = [&](std::size_t limit) {
        const Octets bytes = encode(header, full, limit);
        CHECK(bytes.size() <= limit);
        return std::get<Announce>(decode(bytes)->second);
    };
    const std::size_t whole = encode(header, full).size();
    CHECK(at(whole) == full);
    CHECK(at(whole - 1).backend_version.empty());
    CHECK(at(whole - 1).agent_version == full.agent_version);
    CHECK(at(whole - 9).agent_version.empty());
    CHECK(at(whole - 26).name.empty());
    CHECK(at(whole - 37).herds.empty());
    CHECK(at(whole - 47).addresses.size() == 2);
    CHECK(at(whole - 63).models.size() == 8);
    CHECK(at(whole - 63).gpus.size() == 16);
    const Announce least = at(whole - 257);
    CHECK(least.gpus.size() == 8);
    CHECK(least.host == full.host);
    CHECK(least.echo == full.echo);
}

TEST_CASE("long names are cut at a character's border")
{
    Header header = vectors::node_header();
    header.api_port = 1;
    Announce announce;
    announce.name = std::string(62, 'a') + "\xC3\xA4";
    const auto decoded = decode(encode(header, announce));
    REQUIRE(decoded);
    CHECK(std::get<Announce>(decoded->second).name == std::string(62, 'a'));
}
