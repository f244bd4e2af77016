#include "world.hpp"

#include <algorithm>

namespace herd::sim {

using namespace std::chrono_literals;
using namespace discovery;

namespace {

const base::Endpoint herd_at{base::IpAddress::v4({10, 0, 0, 1}), 11436};
constexpr std::uint64_t first_boot = 1767225600000000;

Arrival arrival_from(const base::Endpoint& from, bool to_group)
{
    Arrival arrival;
    arrival.from = from;
    arrival.interface = 2;
    arrival.ttl = 255;
    arrival.connected = true;
    arrival.to_group = to_group;
    return arrival;
}

} // namespace

World::World(std::uint64_t seed, NetworkModel network) : model(network), rng_(seed) {}

void World::at(base::Instant when, std::function<void()> run)
{
    events_.push({std::max(when, now_), order_++, std::move(run)});
}

void World::run_until(base::Instant until)
{
    while (!events_.empty() && events_.top().at <= until) {
        const Event event = events_.top();
        events_.pop();
        now_ = event.at;
        event.run();
    }
    now_ = until;
}

/// One datagram on the wire: lost, or there after a while, or there twice.
void World::carry(const Send&, std::function<void()> deliver)
{
    const auto delay = [&] {
        return base::Duration{static_cast<std::int64_t>(rng_.between(static_cast<std::uint64_t>(model.delay_min.count()),
                                                                     static_cast<std::uint64_t>(model.delay_max.count())))};
    };
    if (rng_.chance(model.duplicate)) {
        at(now_ + delay(), deliver);
    }
    if (!rng_.chance(model.loss)) {
        at(now_ + delay(), std::move(deliver));
    }
}

std::size_t World::add_node(base::Instant start)
{
    const std::size_t index = nodes_.size();
    SimNode node;
    node.at = {base::IpAddress::v4({10, 1, static_cast<std::uint8_t>(index / 250), static_cast<std::uint8_t>(index % 250 + 1)}), 40000};
    AnnouncerOptions options;
    options.id = base::Uuid::random(rng_);
    options.boot_id = first_boot;
    options.authenticator = keys_;
    Facts facts;
    facts.announce.addresses = {{node.at.address, 16}};
    facts.state = State::ready;
    facts.api_port = 11436;
    facts.announce.host = Host{};
    facts.announce.load = Load{};
    facts.announce.gpus.resize(1);
    node.core = std::make_unique<Announcer>(options, facts, base::Rng(rng_.next()));
    node.started_at = start;
    by_endpoint_[node.at] = index;
    by_id_[options.id] = index;
    nodes_.push_back(std::move(node));
    at(start, [this, index] {
        nodes_[index].running = true;
        node_does(index, nodes_[index].core->start(now_));
    });
    return index;
}

void World::start_herd()
{
    ++herd_life_;
    HerdSideOptions options;
    options.id = *base::Uuid::parse("7c9e6679-7425-40de-944b-e07fc1f90ae7");
    options.boot_id = first_boot + herd_life_;
    options.pool_size = static_cast<std::uint32_t>(nodes_.size());
    options.authenticator = keys_;
    herd_ = std::make_unique<HerdSide>(options, base::Rng(rng_.next()));
    herd_does(herd_->start(now_));
}

void World::kill_herd()
{
    herd_.reset();
    herd_timer_at_ = base::Instant::max();
    for (SimNode& node : nodes_) {
        node.confirmed_at.reset();
    }
}

std::size_t World::known() const
{
    return static_cast<std::size_t>(std::ranges::count_if(nodes_, [](const SimNode& n) { return n.confirmed_at.has_value(); }));
}

void World::node_does(std::size_t index, const NodeActions& actions)
{
    SimNode& node = nodes_[index];
    for (const NodeAction& action : actions) {
        if (const auto* notice = std::get_if<Notice>(&action)) {
            node.losses += notice->kind == Notice::Kind::herd_lost ? 1 : 0;
        }
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) {
            continue;
        }
        if (send->everywhere) {
            ++node.broadcasts;
            node.broadcast_times.push_back(now_);
            carry(*send, [this, index, bytes = send->bytes] { to_herd(index, bytes, true); });
        }
        for (const base::Endpoint& to : send->to) {
            if (to == herd_at) {
                carry(*send, [this, index, bytes = send->bytes] { to_herd(index, bytes, false); });
            }
        }
    }
    arm_node(index);
}

void World::herd_does(const std::vector<Send>& sends)
{
    for (const Send& send : sends) {
        if (send.everywhere) {
            ++herd_broadcasts;
            for (std::size_t i = 0; i < nodes_.size(); ++i) {
                carry(send, [this, i, bytes = send.bytes] { to_node(i, bytes, true); });
            }
        }
        for (const base::Endpoint& to : send.to) {
            if (const auto found = by_endpoint_.find(to); found != by_endpoint_.end()) {
                carry(send, [this, i = found->second, bytes = send.bytes] { to_node(i, bytes, false); });
            }
        }
    }
    arm_herd();
}

void World::arm_node(std::size_t index)
{
    SimNode& node = nodes_[index];
    const auto next = node.core->next_deadline();
    if (!next || *next >= node.timer_at) {
        return; // an earlier call is under way, and asks again then
    }
    node.timer_at = *next;
    at(*next, [this, index, when = *next] {
        if (nodes_[index].timer_at == when) {
            nodes_[index].timer_at = base::Instant::max();
            node_does(index, nodes_[index].core->on_timer(now_));
        }
    });
}

void World::arm_herd()
{
    const auto next = herd_ ? herd_->next_deadline() : std::nullopt;
    if (!next || *next >= herd_timer_at_) {
        return;
    }
    herd_timer_at_ = *next;
    at(*next, [this, when = *next] {
        if (herd_ && herd_timer_at_ == when) {
            herd_timer_at_ = base::Instant::max();
            herd_does(herd_->on_timer(now_));
        }
    });
}

void World::to_herd(std::size_t index, std::shared_ptr<const Octets> bytes, bool to_group)
{
    if (!herd_ || nodes_[index].cut) {
        return;
    }
    ++datagrams;
    if (overheard_max > 0) {
        overheard.resize(std::min(overheard.size(), overheard_max - 1));
        overheard.emplace(overheard.begin(), index, bytes);
    }
    Heard heard = herd_->on_datagram(now_, arrival_from(nodes_[index].at, to_group), *bytes);
    if (heard.sighting) {
        SimNode& node = nodes_[index];
        if (node.confirmed_at) {
            node.silence_max = std::max(node.silence_max, now_ - node.heard_at);
            node.doubts += heard.sighting->doubts != 0 ? 1 : 0;
            node.backwards += heard.sighting->header.seq + 64 < node.seq_heard ? 1 : 0;
        }
        node.heard_at = now_;
        node.seq_heard = std::max(node.seq_heard, heard.sighting->header.seq);
        if (heard.sighting->doubts != 0) {
            at(now_ + 3ms, [this, index, life = herd_life_] {
                if (life == herd_life_) {
                    confirm(index);
                }
            });
        }
    }
    herd_does(heard.sends);
}

void World::inject(const Octets& bytes, const base::Endpoint& from)
{
    const Heard heard = herd_->on_datagram(now_, arrival_from(from, false), bytes);
    accepted_forgeries += heard.sighting && heard.sighting->doubts == 0 ? 1U : 0U;
}

void World::confirm(std::size_t index)
{
    SimNode& node = nodes_[index];
    if (!herd_ || node.cut || !node.running) {
        return;
    }
    const auto id = std::ranges::find(by_id_, index, [](const auto& entry) { return entry.second; })->first;
    herd_->confirmed(now_, id, first_boot, node.core->seq(), node.at.address, keys_.primary() != 0);
    if (!node.confirmed_at) {
        node.confirmed_at = now_;
        node.heard_at = now_;
    }
}

void World::to_node(std::size_t index, std::shared_ptr<const Octets> bytes, bool to_group)
{
    SimNode& node = nodes_[index];
    if (node.running && !node.cut) {
        node_does(index, node.core->on_datagram(now_, arrival_from(herd_at, to_group), *bytes));
    }
}

} // namespace herd::sim
