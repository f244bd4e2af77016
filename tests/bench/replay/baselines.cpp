// What all baselines share, and the simple ones. herd_score.cpp and predicting.cpp hold the others.
#include "baselines.hpp"

#include "immediate.hpp"

#include <limits>
#include <unordered_map>

namespace herd::replay {

Immediate::Immediate(Host& host) : host(host), rng(mix(host.seed(), 77)), up(static_cast<std::size_t>(host.nodes()), true),
    in_flight(static_cast<std::size_t>(host.nodes()))
{
}

void Immediate::arrive(int request, const std::vector<int>& tried)
{
    if (tried.size() > retries_max) {
        host.refuse(request, "tried often enough");
        return;
    }
    std::vector<int> candidates;
    for (int n = 0; n < host.nodes(); ++n) {
        const auto& disk = host.workload().nodes[static_cast<std::size_t>(n)].on_disk;
        if (up[static_cast<std::size_t>(n)] && std::ranges::find(tried, n) == tried.end()
            && std::ranges::find(disk, host.request(request).model) != disk.end()) {
            candidates.push_back(n);
        }
    }
    const int chosen = candidates.empty() ? -1 : choose(request, candidates);
    if (chosen < 0) {
        nowhere(request, tried);
        return;
    }
    ++in_flight[static_cast<std::size_t>(chosen)];
    sent(request, chosen);
    host.send(request, chosen);
}

/// Nobody to send to: held, and looked at again, as Ollama Herd does.
void Immediate::nowhere(int request, const std::vector<int>& tried)
{
    if (!tried.empty() || ++held_[request] > 15) {
        host.refuse(request, "no node");
        return;
    }
    host.agenda().in(2, [this, request] { arrive(request, {}); });
}

void Immediate::ended(int request, int node, const Ended& what)
{
    --in_flight[static_cast<std::size_t>(node)];
    learn(request, node, what);
}

/// Deaths and returns are noticed some seconds later, by heartbeats.
void Immediate::node_changed(int node)
{
    host.agenda().in(3, [this, node] { up[static_cast<std::size_t>(node)] = host.node(node).alive(); });
}

int Immediate::least_busy(const std::vector<int>& candidates)
{
    int best = -1;
    std::uint64_t equals = 0;
    for (const int n : candidates) {
        const int mine = in_flight[static_cast<std::size_t>(n)];
        const int least = best < 0 ? std::numeric_limits<int>::max() : in_flight[static_cast<std::size_t>(best)];
        if (mine < least) {
            best = n;
            equals = 1;
        } else if (mine == least && rng.between(0, equals++) == 0) {
            best = n;
        }
    }
    return best;
}

namespace {

class RoundRobin final : public Immediate {
public:
    using Immediate::Immediate;

private:
    int choose(int /*request*/, const std::vector<int>& candidates) override
    {
        const auto at = std::ranges::find_if(candidates, [this](int n) { return n > last_; });
        last_ = at == candidates.end() ? candidates.front() : *at;
        return last_;
    }
    int last_{-1};
};

class LeastInFlight final : public Immediate {
public:
    using Immediate::Immediate;

private:
    int choose(int /*request*/, const std::vector<int>& candidates) override { return least_busy(candidates); }
};

class PowerOfTwo final : public Immediate {
public:
    using Immediate::Immediate;

private:
    int choose(int /*request*/, const std::vector<int>& candidates) override
    {
        const auto draw = [&] { return candidates[rng.between(0, candidates.size() - 1)]; };
        const int a = draw();
        const int b = draw();
        return in_flight[static_cast<std::size_t>(b)] < in_flight[static_cast<std::size_t>(a)] ? b : a;
    }
};

class Sticky final : public Immediate {
public:
    using Immediate::Immediate;

private:
    int choose(int request, const std::vector<int>& candidates) override
    {
        const auto& r = host.request(request);
        const auto first = r.blocks && !r.blocks->empty() ? r.blocks->front().chain : 0; // some 500 bytes are in it
        auto& place = places_.try_emplace(mix(first, static_cast<std::uint64_t>(r.model)), -1).first->second;
        if (std::ranges::find(candidates, place) == candidates.end()) {
            place = least_busy(candidates);
        }
        return place;
    }
    std::unordered_map<std::uint64_t, int> places_{};
};

class Oracle final : public Immediate {
public:
    using Immediate::Immediate;

private:
    int choose(int request, const std::vector<int>& candidates) override
    {
        int best = candidates.front();
        double soonest = std::numeric_limits<double>::infinity();
        for (const int n : candidates) {
            const double end = host.node(n).would_end(request);
            if (end < soonest) {
                soonest = end;
                best = n;
            }
        }
        return best;
    }
};

} // namespace

PolicyPtr round_robin(Host& host) { return std::make_unique<RoundRobin>(host); }
PolicyPtr least_in_flight(Host& host) { return std::make_unique<LeastInFlight>(host); }
PolicyPtr power_of_two(Host& host) { return std::make_unique<PowerOfTwo>(host); }
PolicyPtr sticky(Host& host) { return std::make_unique<Sticky>(host); }
PolicyPtr oracle(Host& host) { return std::make_unique<Oracle>(host); }

} // namespace herd::replay
