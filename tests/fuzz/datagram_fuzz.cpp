// Datagrams. First byte of the input: bit 0 makes the MAC of a keyed datagram right (otherwise nothing would
// get past it), bit 1 confirms the sender between two hearings. What decodes must survive encode and decode,
// and the listener must keep its tables small whatever comes.
#include "discovery/listener.hpp"
#include "net/crypto.hpp"

#include <algorithm>
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

FleetKey key()
{
    FleetKey key{1, Octets(32)};
    for (std::size_t i = 0; i < key.secret.size(); ++i) {
        key.secret[i] = static_cast<std::uint8_t>(i);
    }
    return key;
}

const Authenticator& lab()
{
    static const Authenticator authenticator = *Authenticator::make(AuthMode::permissive, {key()});
    return authenticator;
}

/// Makes the MAC right, as a member of the fleet could.
void seal(Octets& bytes)
{
    const auto parsed = parse_header(bytes);
    if (parsed && parsed->header.key_id != 0) {
        bytes[11] = 1;
        static const auto mac_key = net::hmac_sha256(key().secret, net::bytes_of("herd/lana/v1/mac"));
        const auto mac = net::hmac_sha256(mac_key, ByteView(bytes).first(parsed->body_end));
        std::ranges::copy(mac, bytes.begin() + static_cast<std::ptrdiff_t>(parsed->body_end));
        require(lab().check(*parse_header(bytes), bytes).value());
    }
}

void round_trip(const Octets& bytes)
{
    const auto parsed = parse_header(bytes);
    if (!parsed) {
        return;
    }
    const auto body = parse_body(*parsed, bytes);
    if (!body || parsed->header.sender_id.is_nil()) {
        return;
    }
    Header header = parsed->header;
    const Octets again = encode(header, *body);
    require(again.size() <= datagram_bytes_limit);
    const auto second = parse_header(again);
    require(second && second->header == header);
    require(parse_body(*second, again).value() == *body);
}

void listen(const Octets& bytes, Role role, bool confirm)
{
    ListenerOptions options;
    options.role = role;
    options.own_id.bytes[0] = 1;
    options.authenticator = lab();
    if (const auto parsed = parse_header(bytes)) {
        options.cluster = parsed->header.cluster;
    }
    Listener listener(options);
    Arrival arrival;
    arrival.from = {base::IpAddress::v4({192, 168, 7, 2}), 40000};
    arrival.ttl = 255;
    arrival.connected = true;
    base::Instant now{std::chrono::seconds{1000}};
    for (int i = 0; i < 3; ++i) {
        const auto sighting = listener.receive(now, arrival, bytes);
        if (sighting && confirm) {
            listener.confirmed(now, sighting->id(), sighting->header.boot_id, sighting->header.seq, arrival.from.address);
        }
        require(listener.senders() <= 1 && listener.unverified() <= 1);
        now += std::chrono::milliseconds{600};
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    Octets bytes(data + 1, data + size);
    if ((data[0] & 1) != 0) {
        seal(bytes);
    }
    round_trip(bytes);
    listen(bytes, Role::herd, (data[0] & 2) != 0);
    listen(bytes, Role::node, (data[0] & 2) != 0);
    return 0;
}
