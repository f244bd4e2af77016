// The workloads that no public trace holds: agents, many models, contexts, floods, nodes that misbehave. Sizes
// are drawn from log-normals, as those of the public traces roughly are.
#include "workloads.hpp"

#include <algorithm>
#include <cmath>

namespace herd::replay {
namespace {

struct Size {
    int input{0};
    int output{0};
};

Size chat_size(base::Rng& rng)
{
    const double input = std::clamp(log_normal(rng, 900, 1.1), 30.0, 30'000.0);
    const double output = std::clamp(log_normal(rng, 180, 0.8), 5.0, 2000.0);
    return {static_cast<int>(input), static_cast<int>(output)};
}

Blocks blocks_of(int tokens, const std::function<std::uint64_t(int)>& identity)
{
    return std::make_shared<std::vector<Block>>(chain_of(tokens, identity));
}

/// Mean load of the fleet by requests of these sizes, each model's requests by its own speed.
double rate_for(const Workload& workload, double load, const std::vector<Size>& sizes, double mean_speed)
{
    std::vector<TraceLine> lines;
    for (const auto& size : sizes) {
        lines.push_back({0, size.input, size.output, {}, 0});
    }
    return load * mean_speed * capacity(workload, lines);
}

Workload one_model(base::Rng& rng, int context)
{
    Workload workload;
    workload.models = {{.name = "qwen3:30b-a3b", .context = context}};
    workload.models[0].bytes_per_token = log_normal(rng, 4.5, 0.1);
    workload.nodes = mixed_nodes(1);
    return workload;
}

/// A conversation: turns that follow one another, each with all that was said before.
struct Talk {
    std::uint64_t id{0};
    std::uint64_t shared{0};    ///< whose first blocks are those of everybody with that id
    int shared_tokens{0};
    int context{0};             ///< tokens so far
    int previous{-1};           ///< request of the turn before

    [[nodiscard]] std::uint64_t identity(int k) const
    {
        return (k + 1) * block_tokens <= shared_tokens ? mix(shared, static_cast<std::uint64_t>(k))
                                                       : mix(id, static_cast<std::uint64_t>(k));
    }
    /// The next turn: `added` tokens are said to the model, `output` it answers.
    Request turn(int added, int output)
    {
        Request request;
        context += added;
        request.input = context;
        request.output = output;
        const auto by_identity = [this](int k) { return identity(k); };
        request.blocks = blocks_of(context, by_identity);
        auto after = chain_of(context + output, by_identity);
        if (!after.empty() && after.back().tokens < block_tokens) {
            after.pop_back();
        }
        request.grown = std::move(after);
        request.after = previous;
        context += output;
        return request;
    }
};

} // namespace

Workload agents(std::uint64_t seed, std::size_t requests_max)
{
    base::Rng rng{seed};
    auto workload = one_model(rng, 131'072);
    for (auto& node : workload.nodes) {
        node.memory_gib = 128;
    }
    shuffle_nodes(workload, rng);
    const int sessions = 16;
    const int turns = requests_max > 0 ? std::max(1, static_cast<int>(requests_max) / sessions) : 30;
    for (int s = 0; s < sessions; ++s) {
        Talk talk{.id = mix(seed, static_cast<std::uint64_t>(s) + 100), .shared = mix(seed, 1), .shared_tokens = 10'240,
                  .context = 10'240};
        for (int t = 0; t < turns; ++t) {
            const int added = static_cast<int>(std::clamp(log_normal(rng, 900, 0.9), 50.0, 8000.0));
            const int output = static_cast<int>(std::clamp(log_normal(rng, 220, 0.7), 20.0, 1500.0));
            auto request = talk.turn(added, output);
            request.arrival = t == 0 ? exponential(rng, 2) : 0;
            request.think = exponential(rng, 2);
            request.client = "agent-" + std::to_string(s);
            request.tag = "agent";
            request.bytes_factor = log_normal(rng, 1, 0.03);
            talk.previous = static_cast<int>(workload.requests.size());
            workload.requests.push_back(std::move(request));
        }
    }
    return workload;
}

Workload zipf(std::uint64_t seed, std::size_t requests_max)
{
    base::Rng rng{seed};
    Workload workload;
    struct Kind {
        const char* name;
        double gib, kv, speed;
    };
    constexpr Kind kinds[] = {
        {"qwen3:8b", 5.2, 144, 1.0},        {"llama3.1:8b", 4.9, 128, 1.0},   {"gemma3:12b", 8.1, 160, 0.7},
        {"qwen3:14b", 9.3, 160, 0.6},       {"phi4:14b", 9.1, 200, 0.6},      {"mistral-nemo:12b", 7.1, 160, 0.75},
        {"gpt-oss:20b", 13.8, 48, 1.3},     {"qwen2.5-coder:14b", 9.0, 192, 0.6}, {"deepseek-r1:14b", 9.0, 192, 0.6},
        {"qwen2.5:7b", 4.7, 56, 1.1},       {"mistral-small:24b", 14.3, 160, 0.4}, {"granite3.3:8b", 4.9, 160, 1.0},
    };
    for (const auto& kind : kinds) {
        ModelSpec model;
        model.name = kind.name;
        model.gib = kind.gib;
        model.kv_kib = kind.kv;
        model.speed = kind.speed;
        model.context = 8192;
        model.bytes_per_token = log_normal(rng, 4.5, 0.1);
        workload.models.push_back(model);
    }
    for (std::size_t i = workload.models.size(); i > 1; --i) { // popularity has nothing to do with size
        std::swap(workload.models[i - 1], workload.models[rng.between(0, i - 1)]);
    }
    workload.nodes = mixed_nodes(1);
    for (std::size_t n = 0; n < workload.nodes.size(); ++n) {
        auto& node = workload.nodes[n];
        node.memory_gib = 34; // three of a usual size
        node.on_disk.clear();
        node.resident.clear();
        for (int m = 0; m < 12; ++m) {
            node.on_disk.push_back(m);
        }
    }
    shuffle_nodes(workload, rng);
    std::vector<double> upto;
    double sum = 0;
    double speed = 0;
    for (std::size_t m = 0; m < workload.models.size(); ++m) {
        sum += 1.0 / static_cast<double>(m + 1);
        speed += workload.models[m].speed / static_cast<double>(m + 1);
        upto.push_back(sum);
    }
    const std::size_t count = requests_max > 0 ? requests_max : 6000;
    std::vector<Size> sizes;
    for (std::size_t i = 0; i < count; ++i) {
        auto size = chat_size(rng);
        size.input = std::min(size.input, 6000);
        sizes.push_back(size);
    }
    const double rate = rate_for(workload, 0.4, sizes, speed / sum);
    double at = 0;
    for (const auto& size : sizes) {
        at += exponential(rng, 1 / rate);
        Request request;
        request.arrival = at;
        request.model = static_cast<int>(std::ranges::lower_bound(upto, rng.unit() * sum) - upto.begin());
        request.input = size.input;
        request.output = size.output;
        const auto own = mix(seed, workload.requests.size() + 1000);
        request.blocks = blocks_of(size.input, [&](int k) { return mix(own, static_cast<std::uint64_t>(k)); });
        request.bytes_factor = log_normal(rng, 1, 0.05);
        request.client = "client-" + std::to_string(rng.between(0, 39));
        request.tag = "chat";
        workload.requests.push_back(std::move(request));
    }
    return workload;
}

Workload contexts(std::uint64_t seed, std::size_t requests_max)
{
    base::Rng rng{seed};
    auto workload = one_model(rng, 4096);
    for (auto& node : workload.nodes) {
        node.memory_gib = 28; // one copy, whatever its context
    }
    shuffle_nodes(workload, rng);
    const std::size_t count = requests_max > 0 ? requests_max : 4000;
    std::vector<Size> sizes;
    for (std::size_t i = 0; i < count; ++i) {
        auto size = chat_size(rng);
        size.input = std::min(size.input, 4000);
        sizes.push_back(size);
    }
    const double rate = rate_for(workload, 0.4, sizes, 1);
    double at = 0;
    for (const auto& size : sizes) {
        at += exponential(rng, 1 / rate);
        Request request;
        request.arrival = at;
        request.input = size.input;
        request.output = size.output;
        const auto client = rng.between(0, 19);
        constexpr int wanted[] = {0, 8192, 16'384, 32'768}; // 0: none, the model's default
        const int context = wanted[client % 4];
        if (context > 0) {
            request.num_ctx = context;
        }
        const auto own = mix(seed, workload.requests.size() + 1000);
        request.blocks = blocks_of(size.input, [&](int k) { return mix(own, static_cast<std::uint64_t>(k)); });
        request.bytes_factor = log_normal(rng, 1, 0.05);
        request.client = "client-" + std::to_string(client);
        request.tag = "chat";
        workload.requests.push_back(std::move(request));
    }
    return workload;
}

/// Five people who read and think between their turns, and a script that keeps 64 requests open all the time.
Workload flood(std::uint64_t seed, std::size_t requests_max, bool with_flood)
{
    base::Rng rng{seed};
    auto workload = one_model(rng, 32'768);
    shuffle_nodes(workload, rng);
    const double horizon = requests_max > 0 ? 600 : 3600;
    for (int c = 0; c < 5; ++c) {
        double due = exponential(rng, 20);
        for (int t = 0; due < horizon; ++t) {
            Talk talk{.id = mix(seed, static_cast<std::uint64_t>(c * 1000 + t)), .shared = mix(seed, 3),
                      .shared_tokens = 1024, .context = 1024};
            double waited = due;
            for (int turn = 0; turn < 8; ++turn) {
                const int added = static_cast<int>(std::clamp(log_normal(rng, 500, 1.0), 20.0, 6000.0));
                const int output = static_cast<int>(std::clamp(log_normal(rng, 250, 0.7), 20.0, 1200.0));
                auto request = talk.turn(added, output);
                request.arrival = waited;
                request.think = 5 + exponential(rng, 20);
                request.client = "person-" + std::to_string(c);
                request.tag = "chat";
                request.bytes_factor = log_normal(rng, 1, 0.05);
                request.not_after = horizon;
                talk.previous = static_cast<int>(workload.requests.size());
                workload.requests.push_back(std::move(request));
            }
            due += 400 + exponential(rng, 60); // the next talk begins when this one is long over
        }
    }
    if (!with_flood) {
        return workload;
    }
    for (int chain = 0; chain < 64; ++chain) {
        int previous = -1;
        for (int i = 0; i < static_cast<int>(horizon / 4); ++i) {
            const auto size = chat_size(rng);
            Request request;
            request.arrival = 60;
            request.after = previous;
            request.think = 0.01;
            request.not_after = horizon;
            request.input = size.input;
            request.output = size.output;
            const auto own = mix(seed + 5, workload.requests.size());
            request.blocks = blocks_of(size.input, [&](int k) { return mix(own, static_cast<std::uint64_t>(k)); });
            request.bytes_factor = log_normal(rng, 1, 0.05);
            request.client = "flood";
            request.tag = "script";
            request.measured = false;
            previous = static_cast<int>(workload.requests.size());
            workload.requests.push_back(std::move(request));
        }
    }
    return workload;
}

/// Conversations that begin at random and go on at their own pace, at 60 % load, with one kind of trouble.
Workload chats(std::uint64_t seed, std::size_t requests_max, Trouble trouble)
{
    base::Rng rng{seed};
    auto workload = one_model(rng, 32'768);
    const std::size_t count = requests_max > 0 ? requests_max : 5000;
    std::vector<Size> turns(count);
    std::vector<Request> requests;
    double input = 0;
    double output = 0;
    std::uint64_t talks = 0;
    std::vector<std::size_t> starts;
    while (requests.size() < count) {
        Talk talk{.id = mix(seed, ++talks), .shared = mix(seed, 9), .shared_tokens = 1024, .context = 1024};
        const auto length = 1 + rng.between(0, 7);
        starts.push_back(requests.size());
        for (std::uint64_t t = 0; t < length && requests.size() < count; ++t) {
            const int added = static_cast<int>(std::clamp(log_normal(rng, 700, 1.0), 20.0, 8000.0));
            const int answer = static_cast<int>(std::clamp(log_normal(rng, 200, 0.8), 5.0, 1500.0));
            auto request = talk.turn(added, answer);
            request.think = 10 + exponential(rng, 30);
            request.client = "client-" + std::to_string(talks % 25);
            request.tag = "chat";
            request.bytes_factor = log_normal(rng, 1, 0.05);
            talk.previous = static_cast<int>(requests.size());
            input += request.input;
            output += request.output;
            requests.push_back(std::move(request));
        }
    }
    const auto n = static_cast<double>(count);
    const double rate = 0.6 * capacity(workload, {{0, static_cast<int>(input / n), static_cast<int>(output / n), {}, 0}});
    const double duration = n / rate;
    double at = 0;
    for (const auto start : starts) {
        at += exponential(rng, duration / static_cast<double>(starts.size()));
        requests[start].arrival = at;
    }
    workload.requests = std::move(requests);
    if (trouble == Trouble::slow_node) {
        workload.nodes[0].slower = 10;
    } else if (trouble == Trouble::failing_node) {
        workload.nodes[1].failing.push_back({duration * 0.2, duration * 0.53});
    } else if (trouble == Trouble::churn) {
        for (std::size_t i = 0; i + 1 < workload.nodes.size(); ++i) {
            for (double t = exponential(rng, 600); t < duration;) {
                const double away = 20 + exponential(rng, 60);
                workload.nodes[i].down.push_back({t, t + away});
                t += away + 60 + exponential(rng, 600);
            }
        }
    }
    shuffle_nodes(workload, rng);
    return workload;
}

} // namespace herd::replay
