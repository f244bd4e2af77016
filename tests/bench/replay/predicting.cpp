// The two baselines that predict: they learn rates, lengths and loads from what nodes report, and believe in
// caches by what they sent. Their belief has the true capacity and the true blocks, which is more than a router knows.
#include "baselines.hpp"

#include "immediate.hpp"

#include <limits>
#include <unordered_map>

namespace herd::replay {
namespace {

constexpr double weight = 0.1; ///< of the newest sample

void blend(double& mean, double sample) { mean += weight * (sample - mean); }

class Predicting : public Immediate {
public:
    explicit Predicting(Host& h) : Immediate(h)
    {
        for (int n = 0; n < h.nodes(); ++n) {
            nodes_.emplace_back();
            nodes_.back().models.resize(h.workload().models.size(), Learned{h.workload().nodes[static_cast<std::size_t>(n)].cache_tokens});
            read_memory(n);
        }
        bytes_per_token_.resize(h.workload().models.size(), 4);
        output_.resize(h.workload().models.size(), 200);
    }

    void memory_changed(int node) override
    {
        host.agenda().in(1, [this, node] { read_memory(node); });
    }

protected:
    struct Learned {
        explicit Learned(int tokens) : belief(tokens) {}
        double prefill{1000};
        double decode{40};
        PromptCache belief;
    };
    struct Open {
        int request{0};
        double since{0};
        double prefill_s{0};
        double decode_s{0};
        double load_s{0};
        [[nodiscard]] double service_s() const { return prefill_s + decode_s + load_s; }
    };
    struct Node {
        std::vector<Learned> models{};
        std::vector<Open> open{};  ///< in order of sending
        std::vector<Resident> residents{};
        double load_gib_s{1};
        double moved_on{0};        ///< when the newest one ended
    };
    struct Cost {
        double prefill_s{0};
        double decode_s{0};
        double load_s{0};
        int cached{0};
    };

    [[nodiscard]] Node& at(int node) { return nodes_[static_cast<std::size_t>(node)]; }
    [[nodiscard]] double tokens_of(const Request& r) const
    {
        const auto m = static_cast<std::size_t>(r.model);
        const double bytes = r.input * host.workload().models[m].bytes_per_token * r.bytes_factor;
        return bytes / bytes_per_token_[m];
    }
    [[nodiscard]] Cost cost(const Request& r, int n)
    {
        auto& node = at(n);
        auto& learned = node.models[static_cast<std::size_t>(r.model)];
        Cost out;
        out.cached = r.blocks ? learned.belief.match(*r.blocks) : 0;
        const double uncached = std::max(16.0, tokens_of(r) - out.cached);
        out.prefill_s = uncached / learned.prefill;
        const double length = output_[static_cast<std::size_t>(r.model)];
        out.decode_s = (r.output_max ? std::min<double>(length, *r.output_max) : length) / learned.decode;
        const int context = host.node(n).context_of(r);
        const bool resident = std::ranges::any_of(
            node.residents, [&](const Resident& e) { return e.model == r.model && e.context == context; });
        const bool coming = !node.open.empty() && std::ranges::any_of(node.open, [&](const Open& open) {
            const auto& other = host.request(open.request);
            return other.model == r.model && host.node(n).context_of(other) == context;
        });
        out.load_s = resident || coming ? 0 : host.node(n).size_gib(r.model, context) / node.load_gib_s;
        return out;
    }

    void sent(int request, int n) override
    {
        const auto& r = host.request(request);
        const auto c = cost(r, n);
        auto& node = at(n);
        if (node.open.empty()) {
            node.moved_on = host.now();
        }
        node.open.push_back({request, host.now(), c.prefill_s, c.decode_s, c.load_s});
        cached_at_sending_[request] = c.cached;
        if (r.blocks) {
            node.models[static_cast<std::size_t>(r.model)].belief.remember(*r.blocks);
        }
    }

    void learn(int request, int n, const Ended& what) override
    {
        auto& node = at(n);
        std::erase_if(node.open, [request](const Open& open) { return open.request == request; });
        node.moved_on = host.now();
        if (what.end != End::served) {
            return;
        }
        const auto& r = host.request(request);
        const auto m = static_cast<std::size_t>(r.model);
        auto& learned = node.models[m];
        const double uncached = what.input - cached_at_sending_[request];
        if (uncached > 256 && what.prefill > 0) {
            blend(learned.prefill, std::clamp(uncached / what.prefill, learned.prefill / 4, learned.prefill * 4));
        }
        if (what.decode > 0 && what.output > 8) {
            blend(learned.decode, what.output / what.decode);
        }
        blend(output_[m], what.output);
        blend(bytes_per_token_[m], host.workload().models[m].bytes_per_token * r.bytes_factor);
        if (what.load > 0.5 && node.open.empty()) {
            blend(node.load_gib_s, host.node(n).size_gib(r.model, host.node(n).context_of(r)) / what.load);
        }
    }

private:
    void read_memory(int n)
    {
        auto& node = at(n);
        node.residents = host.node(n).residents();
        for (std::size_t m = 0; m < node.models.size(); ++m) {
            const auto is = [m](const Resident& e) { return e.model == static_cast<int>(m); };
            if (std::ranges::none_of(node.residents, is)) {
                node.models[m].belief.clear();
            }
        }
    }

    std::vector<Node> nodes_{};
    std::vector<double> bytes_per_token_{};
    std::vector<double> output_{};
    std::unordered_map<int, int> cached_at_sending_{};
};

class Lmetric final : public Predicting {
public:
    using Predicting::Predicting;

private:
    /// Seconds of prefill that the node has to do, times seconds per token of its batch.
    int choose(int request, const std::vector<int>& candidates) override
    {
        const auto& r = host.request(request);
        int best = candidates.front();
        double least = std::numeric_limits<double>::infinity();
        for (const int n : candidates) {
            const auto c = cost(r, n);
            double prefill = c.prefill_s + c.load_s;
            for (std::size_t i = 0; i < at(n).open.size(); ++i) {
                const auto& open = at(n).open[i];
                const bool begun = static_cast<int>(i) < host.workload().nodes[static_cast<std::size_t>(n)].slots;
                const double done = begun ? host.now() - std::max(at(n).moved_on, open.since) : 0;
                prefill += std::max(0.0, open.prefill_s + open.load_s - done);
            }
            const double batch = static_cast<double>(at(n).open.size() + 1);
            const double value = prefill * batch / at(n).models[static_cast<std::size_t>(r.model)].decode;
            if (value < least) {
                least = value;
                best = n;
            }
        }
        return best;
    }
};

class EarliestFinish final : public Predicting {
public:
    using Predicting::Predicting;

private:
    int choose(int request, const std::vector<int>& candidates) override
    {
        const auto& r = host.request(request);
        int best = candidates.front();
        double soonest = std::numeric_limits<double>::infinity();
        for (const int n : candidates) {
            const auto c = cost(r, n);
            const auto& open = at(n).open;
            const auto slots = static_cast<std::size_t>(host.workload().nodes[static_cast<std::size_t>(n)].slots);
            double work = 0;
            for (std::size_t i = 0; i < open.size(); ++i) {
                const double begun = std::max(open[i].since, at(n).moved_on);
                const double done = i < slots ? host.now() - begun : 0;
                work += std::max(0.1 * open[i].service_s(), open[i].service_s() - done);
            }
            const double wait = open.size() < slots ? 0 : work / static_cast<double>(slots);
            const double finish = wait + c.load_s + c.prefill_s + c.decode_s;
            if (finish < soonest) {
                soonest = finish;
                best = n;
            }
        }
        return best;
    }
};

} // namespace

PolicyPtr lmetric(Host& host) { return std::make_unique<Lmetric>(host); }
PolicyPtr earliest_finish(Host& host) { return std::make_unique<EarliestFinish>(host); }

} // namespace herd::replay
