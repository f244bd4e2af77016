// Ollama Herd 0.6 as its own documentation and behaviour have it (parity.md 2.7, figures and all): seven scores
// added up, highest wins, ties to whoever was registered first. Heartbeats of 5 s tell residency and memory.
#include "baselines.hpp"

#include "immediate.hpp"
#include "seven_signals.hpp"

#include <cmath>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>

namespace herd::replay {
namespace {

constexpr double beat_s = 5;
constexpr double stale_s = 600; ///< older entries of a queue do not count
constexpr std::size_t latencies_max = 500;

class HerdScore final : public Immediate {
public:
    explicit HerdScore(Host& h) : Immediate(h), seen_(static_cast<std::size_t>(h.nodes()))
    {
        const auto models = h.workload().models.size();
        for (auto& node : seen_) {
            node.models.resize(models);
        }
        beat();
    }

private:
    struct OfModel {
        bool loaded{false};
        int context{0};
        double gib{0};
        double unloaded_at{-1e9};
        std::deque<std::pair<int, double>> open{}; ///< waiting or in flight: request, since when
        std::deque<double> latencies{};
    };
    struct Seen {
        double available{0};
        std::vector<OfModel> models{};
    };

    void beat()
    {
        for (int n = 0; n < host.nodes(); ++n) {
            auto& seen = seen_[static_cast<std::size_t>(n)];
            auto& node = host.node(n);
            seen.available = node.spec().memory_gib - node.memory_used_gib();
            const auto residents = node.residents();
            for (std::size_t m = 0; m < seen.models.size(); ++m) {
                auto& model = seen.models[m];
                const auto at = std::ranges::find(residents, static_cast<int>(m), &Resident::model);
                if (at == residents.end() && model.loaded) {
                    model.unloaded_at = host.now();
                }
                model.loaded = at != residents.end();
                model.context = model.loaded ? at->context : 0;
                model.gib = model.loaded ? at->gib : 0;
            }
        }
        warm_runners_up();
        if (!host.finished()) {
            host.agenda().in(beat_s, [this] { beat(); });
        }
    }

    /// A queue of three loads the model on the second-best node.
    void warm_runners_up()
    {
        for (int n = 0; n < host.nodes(); ++n) {
            for (std::size_t m = 0; m < seen_[static_cast<std::size_t>(n)].models.size(); ++m) {
                if (depth(n, static_cast<int>(m)) < 3) {
                    continue;
                }
                int best = -1;
                double high = -std::numeric_limits<double>::infinity();
                for (int other = 0; other < host.nodes(); ++other) {
                    const auto s = other == n ? std::nullopt : score(other, static_cast<int>(m), 0);
                    if (s && *s > high) {
                        high = *s;
                        best = other;
                    }
                }
                if (best >= 0 && !seen_[static_cast<std::size_t>(best)].models[m].loaded) {
                    host.node(best).preload(static_cast<int>(m));
                }
            }
        }
    }

    [[nodiscard]] double depth(int node, int model)
    {
        auto& open = seen_[static_cast<std::size_t>(node)].models[static_cast<std::size_t>(model)].open;
        const double now = host.now();
        return static_cast<double>(std::ranges::count_if(open, [now](const auto& e) { return now - e.second < stale_s; }));
    }

    [[nodiscard]] double estimated_size(int node, int model) const
    {
        const auto m = static_cast<std::size_t>(model);
        const auto& here = seen_[static_cast<std::size_t>(node)].models[m];
        if (here.loaded) {
            return here.gib;
        }
        for (const auto& other : seen_) {
            if (other.models[m].loaded) {
                return other.models[m].gib;
            }
        }
        return size_by_name(host.workload().models[m].name);
    }

    [[nodiscard]] double median_bandwidth() const
    {
        std::vector<double> known;
        for (std::size_t n = 0; n < seen_.size(); ++n) {
            const double b = host.workload().nodes[n].bandwidth;
            if (b > 0 && up[n]) {
                known.push_back(b);
            }
        }
        if (known.empty()) {
            return 0;
        }
        std::ranges::sort(known);
        const auto half = known.size() / 2;
        return known.size() % 2 == 1 ? known[half] : (known[half - 1] + known[half]) / 2;
    }

    /// None: no latency was seen yet.
    [[nodiscard]] static std::optional<double> p75(const OfModel& model)
    {
        if (model.latencies.empty()) {
            return std::nullopt;
        }
        std::vector<double> sorted(model.latencies.begin(), model.latencies.end());
        const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(0.75 * static_cast<double>(sorted.size()));
        std::ranges::nth_element(sorted, at);
        return *at;
    }

    /// Nothing when the node is eliminated. `tokens` 0: not told.
    [[nodiscard]] std::optional<double> score(int n, int m, double tokens)
    {
        const auto& spec = host.workload().nodes[static_cast<std::size_t>(n)];
        const auto& seen = seen_[static_cast<std::size_t>(n)];
        const auto& model = seen.models[static_cast<std::size_t>(m)];
        const double size = estimated_size(n, m);
        const bool on_disk = std::ranges::find(spec.on_disk, m) != spec.on_disk.end();
        if (!up[static_cast<std::size_t>(n)] || (!model.loaded && (!on_disk || seen.available < size))) {
            return std::nullopt;
        }
        const double d = depth(n, m);
        return total(seven_signals({.bandwidth = spec.bandwidth,
                                    .median_bandwidth = median_bandwidth(),
                                    .ram = spec.memory_gib,
                                    .available = seen.available,
                                    .size = size,
                                    .loaded = model.loaded,
                                    .unloaded_for = host.now() - model.unloaded_at,
                                    .depth = d,
                                    .p75 = d > 0 ? p75(model) : std::nullopt,
                                    .context = model.context,
                                    .tokens = tokens}));
    }

    int choose(int request, const std::vector<int>& candidates) override
    {
        const auto& r = host.request(request);
        const double bytes = r.input * host.workload().models[static_cast<std::size_t>(r.model)].bytes_per_token;
        int best = -1;
        double high = -std::numeric_limits<double>::infinity();
        for (const int n : candidates) {
            const auto s = score(n, r.model, std::max(1.0, std::floor((bytes + 16) / 4)));
            if (s && *s > high) {
                high = *s;
                best = n;
            }
        }
        return best;
    }

    void sent(int request, int node) override { of(request, node).open.emplace_back(request, host.now()); }

    void learn(int request, int node, const Ended& what) override
    {
        auto& model = of(request, node);
        std::erase_if(model.open, [request](const auto& entry) { return entry.first == request; });
        if (what.end == End::served) {
            model.latencies.push_back(what.total);
            if (model.latencies.size() > latencies_max) {
                model.latencies.pop_front();
            }
        }
    }

    OfModel& of(int request, int node)
    {
        return seen_[static_cast<std::size_t>(node)].models[static_cast<std::size_t>(host.request(request).model)];
    }

    std::vector<Seen> seen_;
};

} // namespace

PolicyPtr herd_score(Host& host) { return std::make_unique<HerdScore>(host); }

} // namespace herd::replay
