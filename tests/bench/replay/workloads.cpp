#include "workloads.hpp"

#include "node_model.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

namespace herd::replay {

double exponential(base::Rng& rng, double mean) { return -mean * std::log(1 - rng.unit()); }

double log_normal(base::Rng& rng, double median, double sigma)
{
    const double normal = std::sqrt(-2 * std::log(1 - rng.unit())) * std::cos(2 * std::numbers::pi * rng.unit());
    return median * std::exp(sigma * normal);
}

std::vector<Block> chain_of(int tokens, const std::function<std::uint64_t(int)>& identity)
{
    std::vector<Block> out;
    std::uint64_t chain = 0;
    for (int k = 0; k * block_tokens < tokens; ++k) {
        const int size = std::min(block_tokens, tokens - k * block_tokens);
        chain = mix(chain, mix(identity(k), static_cast<std::uint64_t>(size)));
        out.push_back({chain, size});
    }
    return out;
}

std::vector<NodeSpec> mixed_nodes(int slots)
{
    struct Figures {
        const char* name;
        double prefill, decode;
        const char* gpu;
        const char* vendor;
        double bandwidth, memory, load;
    };
    // Rates from scheduling.md 6; cards that are about so fast, with their memory's bandwidth.
    constexpr Figures figures[] = {
        {"atlas", 5500, 150, "NVIDIA GeForce RTX 5090", "nvidia", 1792, 64, 3.0},
        {"birch", 3700, 130, "NVIDIA GeForce RTX 4090", "nvidia", 1008, 48, 2.5},
        {"cedar", 3200, 105, "NVIDIA GeForce RTX 3090", "nvidia", 936, 48, 1.5},
        {"delta", 3200, 105, "NVIDIA GeForce RTX 3090", "nvidia", 936, 48, 1.5},
        {"ember", 1100, 75, "Apple M2 Ultra", "apple", 800, 96, 3.0},
        {"fjord", 1300, 45, "NVIDIA GeForce RTX 4060 Ti", "nvidia", 288, 48, 1.5},
        {"grove", 380, 45, "Apple M4 Pro", "apple", 273, 48, 2.0},
        {"haven", 110, 14, "", "", 0, 64, 0.8},
    };
    std::vector<NodeSpec> out;
    for (const auto& f : figures) {
        NodeSpec node;
        node.name = f.name;
        node.prefill = f.prefill;
        node.decode = f.decode;
        node.gpu = f.gpu;
        node.vendor = f.vendor;
        node.bandwidth = f.bandwidth;
        node.memory_gib = f.memory;
        node.load_gib_s = f.load;
        node.slots = slots;
        node.on_disk = {0};
        node.resident = {0};
        out.push_back(node);
    }
    return out;
}

void shuffle_nodes(Workload& workload, base::Rng& rng)
{
    for (std::size_t i = workload.nodes.size(); i > 1; --i) {
        std::swap(workload.nodes[i - 1], workload.nodes[rng.between(0, i - 1)]);
    }
}

double capacity(const Workload& workload, const std::vector<TraceLine>& lines)
{
    const ModelSpec as_it_is{};
    double rate = 0;
    for (const auto& node : workload.nodes) {
        double seconds = 0;
        for (const auto& line : lines) {
            seconds += prefill_seconds(node, as_it_is, line.input, 0)
                + decode_seconds(node, as_it_is, line.input, line.output) / batch_gain(node.slots);
        }
        rate += static_cast<double>(lines.size()) / seconds;
    }
    return rate;
}

namespace {

/// The trace's own arrivals, stretched or squeezed until they load the fleet as wanted.
Workload from_trace(const std::vector<TraceLine>& lines, double load, int slots, std::uint64_t seed)
{
    base::Rng rng{seed};
    Workload workload;
    workload.models = {{.name = "qwen3:30b-a3b", .context = 131'072}};
    workload.models[0].bytes_per_token = log_normal(rng, 4.5, 0.1);
    workload.nodes = mixed_nodes(slots);
    for (auto& node : workload.nodes) {
        node.memory_gib = 128; // the model is resident everywhere, whatever its context
    }
    const double span = std::max(lines.back().at, 1.0);
    const double natural = static_cast<double>(lines.size()) / span;
    const double stretch = natural / (load * capacity(workload, lines));
    shuffle_nodes(workload, rng);
    std::uint64_t unique = 1'000'000'000;
    for (const auto& line : lines) {
        Request request;
        request.arrival = line.at * stretch;
        request.input = line.input;
        request.output = line.output;
        const auto own = unique++;
        const auto& ids = line.hash_ids;
        request.blocks = std::make_shared<std::vector<Block>>(chain_of(line.input, [&](int k) {
            const auto at = static_cast<std::size_t>(k);
            return at < ids.size() ? ids[at] : mix(own, at);
        }));
        request.bytes_factor = log_normal(rng, 1, 0.05);
        // No trace says who asked; a conversation's second block stands for its owner.
        const auto owner = ids.size() > 1 ? ids[1] : own;
        request.client = "client-" + std::to_string(mix(owner, 7) % 40);
        request.tag = "chat";
        if (rng.chance(0.2)) {
            request.output_max = std::max(256, (request.output / 256 + 1) * 256);
        }
        workload.requests.push_back(std::move(request));
    }
    return workload;
}

/// Traces are read once; only their beginning when the row is cut short.
base::Result<const std::vector<TraceLine>*> cached_trace(const std::string& path, std::size_t lines_max)
{
    static std::map<std::pair<std::string, std::size_t>, std::vector<TraceLine>> known;
    const auto key = std::pair{path, lines_max};
    if (!known.contains(key)) {
        auto lines = read_trace(path, lines_max);
        if (!lines) {
            return std::unexpected(lines.error());
        }
        known.emplace(key, std::move(*lines));
    }
    return &known.at(key);
}

Row public_trace(std::string name, std::string title, std::string file, double load, int slots)
{
    return {std::move(name), std::move(title),
            [file, load, slots](std::uint64_t seed, const RowOptions& options) -> base::Result<Workload> {
                const auto path = file.front() == '/' || options.traces.empty() ? file : options.traces + "/" + file;
                const auto limit = options.requests_max > 0 ? options.requests_max : std::size_t{30'000};
                const auto lines = cached_trace(path, limit);
                if (!lines) {
                    return std::unexpected(lines.error());
                }
                return from_trace(**lines, load, slots, seed);
            },
            {}};
}

template <class F>
Row made(std::string name, std::string title, F make, std::string alone = {})
{
    return {std::move(name), std::move(title),
            [make](std::uint64_t seed, const RowOptions& options) -> base::Result<Workload> {
                return make(seed, options.requests_max);
            },
            std::move(alone)};
}

} // namespace

Row trace_row(const std::string& path, double load, int slots)
{
    auto row = public_trace("trace", path + ", mixed nodes", path, load, slots);
    const auto make = row.make;
    row.make = [make](std::uint64_t seed, const RowOptions& options) {
        return make(seed, RowOptions{{}, options.requests_max});
    };
    return row;
}

const std::vector<Row>& rows()
{
    static const std::vector<Row> all = [] {
        const std::string mooncake = "mooncake_conversation.jsonl";
        const std::string azure = "azure2023_conv.csv";
        std::vector<Row> out;
        out.push_back(public_trace("mooncake-85", "Mooncake conversation, 85 % load", mooncake, 0.85, 1));
        out.push_back(public_trace("azure-85", "Azure 2023 conversation, 85 % load", azure, 0.85, 1));
        out.push_back(public_trace("mooncake-50", "Mooncake conversation, 50 % load", mooncake, 0.5, 1));
        out.push_back(public_trace("azure-50", "Azure 2023 conversation, 50 % load", azure, 0.5, 1));
        out.push_back(public_trace("mooncake-4slots", "Mooncake conversation, 85 % load, 4 slots", mooncake, 0.85, 4));
        out.push_back(public_trace("azure-4slots", "Azure 2023 conversation, 85 % load, 4 slots", azure, 0.85, 4));
        out.push_back(made("agents", "16 coding agents, 10 k tokens shared, 30 turns", agents));
        out.push_back(made("zipf", "12 models by Zipf, memory for 3 a node", zipf));
        out.push_back(made("contexts", "clients with 4 different num_ctx", contexts));
        out.push_back(made("flood", "5 interactive clients beside one that floods",
                           [](auto seed, auto n) { return flood(seed, n, true); }, "quiet"));
        out.push_back(made("quiet", "the same 5 clients alone", [](auto seed, auto n) { return flood(seed, n, false); }));
        out.push_back(made("slow-node", "a node 10 times slower than its card",
                           [](auto seed, auto n) { return chats(seed, n, Trouble::slow_node); }));
        out.push_back(made("failing-node", "a node that fails fast for a third of the time",
                           [](auto seed, auto n) { return chats(seed, n, Trouble::failing_node); }));
        out.push_back(made("churn", "nodes are killed and come back",
                           [](auto seed, auto n) { return chats(seed, n, Trouble::churn); }));
        return out;
    }();
    return all;
}

} // namespace herd::replay
