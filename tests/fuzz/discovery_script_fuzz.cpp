// A script for the two cores: time passes, links change, datagrams arrive (forged, or what the other side
// said, in any order and again). Whatever happens: few sends per step, deadlines that move on, bounded tables.
#include "discovery/announcer.hpp"
#include "discovery/herd_side.hpp"

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

base::Uuid id(std::uint8_t first)
{
    base::Uuid id;
    id.bytes[0] = first;
    return id;
}

const base::Endpoint herd_at{base::IpAddress::v4({192, 168, 7, 1}), 11436};
const base::Endpoint node_at{base::IpAddress::v4({192, 168, 7, 2}), 40000};

class Script {
public:
    Script(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    void run()
    {
        take(node_.start(now_));
        take(herd_.start(now_));
        for (int steps = 0; at_ < size_ && steps < 400; ++steps) {
            step(next());
            settle();
        }
    }

private:
    std::uint8_t next() { return at_ < size_ ? data_[at_++] : std::uint8_t{0}; }

    void step(std::uint8_t op)
    {
        switch (op % 12) {
        case 0: now_ += std::chrono::milliseconds{next()}; break;
        case 1: now_ += std::chrono::seconds{next()}; break;
        case 2: take(node_.link_changed(now_)); take(herd_.link_changed(now_)); break;
        case 3: take(node_.resumed(now_)); take(herd_.resumed(now_)); break;
        case 4: to_herd(said(from_node_)); break;
        case 5: to_node(said(from_herd_)); break;
        case 6: to_herd(forged()); break;
        case 7: to_node(forged()); break;
        case 8: take(herd_.solicit(now_, node_at)); break;
        case 9: {
            Facts facts = node_.facts();
            facts.state = static_cast<State>(next() % 6);
            facts.state_rev += next() % 2;
            take(node_.set_facts(now_, facts));
            break;
        }
        case 10: take(node_.unreachable(now_, herd_at)); break;
        default:
            take(node_.herd_asked(now_, id(next()), herd_at.address, {base::IpAddress{}, next()}));
            take(node_.set_configured_herds(now_, {{"h", {herd_at}, {herd_at}}}));
            take(node_.http_announced(now_, "h", next() % 2 == 0 ? id(2) : base::Uuid{}, next() % 8));
            break;
        }
    }

    /// Timers fire until nothing is due; each firing moves its deadline on.
    void settle()
    {
        for (int i = 0; node_.next_deadline() && *node_.next_deadline() <= now_; ++i) {
            require(i < 64);
            take(node_.on_timer(now_));
        }
        for (int i = 0; herd_.next_deadline() && *herd_.next_deadline() <= now_; ++i) {
            require(i < 8);
            take(herd_.on_timer(now_));
        }
        require(node_.herds().size() <= 8);
    }

    Octets said(const std::vector<Octets>& log)
    {
        return log.empty() ? Octets{} : log[next() % log.size()];
    }
    Octets forged()
    {
        Octets bytes = said(next() % 2 == 0 ? from_node_ : from_herd_);
        for (int edits = next() % 4; edits > 0 && !bytes.empty(); --edits) {
            bytes[next() % bytes.size()] = next();
        }
        return bytes;
    }

    Arrival arrival(const base::Endpoint& from)
    {
        Arrival arrival;
        arrival.from = from;
        arrival.ttl = 255;
        arrival.connected = true;
        arrival.to_group = next() % 2 == 0;
        return arrival;
    }
    void to_herd(const Octets& bytes)
    {
        Heard heard = herd_.on_datagram(now_, arrival(node_at), bytes);
        std::size_t unicast = 0;
        for (const Send& send : heard.sends) {
            unicast += send.to.size();
            require(send.type == Type::ack || send.everywhere);
        }
        require(unicast <= 1 && heard.sends.size() <= 2);
        if (heard.sighting && heard.sighting->doubts != 0 && next() % 2 == 0) {
            const Header& header = heard.sighting->header;
            herd_.confirmed(now_, header.sender_id, header.boot_id, header.seq, node_at.address);
        }
        take(heard.sends);
    }
    void to_node(const Octets& bytes) { take(node_.on_datagram(now_, arrival(herd_at), bytes)); }

    static void keep(std::vector<Octets>& log, const Send& send)
    {
        require(send.bytes != nullptr && send.bytes->size() <= datagram_bytes_limit);
        require(parse_header(*send.bytes).has_value());
        require(send.to.size() <= 80);
        if (log.size() < 64) {
            log.push_back(*send.bytes);
        }
    }
    void take(const NodeActions& actions)
    {
        require(actions.size() <= 64);
        for (const NodeAction& action : actions) {
            if (const auto* send = std::get_if<Send>(&action)) {
                keep(from_node_, *send);
            }
        }
    }
    void take(const std::vector<Send>& sends)
    {
        for (const Send& send : sends) {
            keep(from_herd_, send);
        }
    }

    static AnnouncerOptions node_options()
    {
        AnnouncerOptions options;
        options.id = id(1);
        options.boot_id = 100;
        return options;
    }
    static HerdSideOptions herd_options()
    {
        HerdSideOptions options;
        options.id = id(2);
        options.boot_id = 200;
        return options;
    }
    static Facts facts()
    {
        Facts facts;
        facts.state = State::ready;
        facts.api_port = 1;
        return facts;
    }

    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_{0};
    base::Instant now_{std::chrono::seconds{1000}};
    Announcer node_{node_options(), facts(), base::Rng(1)};
    HerdSide herd_{herd_options(), base::Rng(2)};
    std::vector<Octets> from_node_{};
    std::vector<Octets> from_herd_{};
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    Script(data, size).run();
    return 0;
}
