#pragma once
// What is replayed: models, nodes and requests, as plain values. Nothing here knows of any policy.
// Units: seconds, tokens, GiB, tokens per second.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::replay {

inline constexpr int block_tokens = 512;

/// A stretch of prompt. Equal chains mean that this block and all before it are equal.
struct Block {
    std::uint64_t chain{0};
    int tokens{0};
};
using Blocks = std::shared_ptr<const std::vector<Block>>;

struct ModelSpec {
    std::string name{};
    double gib{18};            ///< of weights
    double kv_kib{96};         ///< of cache per token of context
    double speed{1};           ///< relative to the node's own figures
    int context{32768};        ///< without num_ctx
    double bytes_per_token{4.5};
};

struct Span {
    double from{0};
    double to{0};
    [[nodiscard]] bool holds(double at) const { return at >= from && at < to; }
};

struct NodeSpec {
    std::string name{};
    double prefill{1000};      ///< of a short prompt
    double decode{50};         ///< of one request alone
    double slower{1};          ///< than its figures and its card's name say
    std::string gpu{};         ///< name of the card or chip; empty: none
    std::string vendor{};
    double bandwidth{0};       ///< GB/s by its name, 0 unknown: only Ollama Herd's score looks at it
    double memory_gib{64};
    double load_gib_s{1.5};
    int slots{1};
    int cache_tokens{400'000};
    std::vector<int> on_disk{};   ///< models
    std::vector<int> resident{};  ///< at the start, with default options
    std::vector<Span> failing{};  ///< answers 500 at once
    std::vector<Span> down{};     ///< killed, and started again afterwards
};

struct Request {
    double arrival{0};         ///< when `after` is none
    int after{-1};             ///< asked when that one has ended …
    double think{0};           ///< … and this has passed
    double not_after{1e300};   ///< not asked at all when that would be later
    int model{0};
    int input{0};
    int output{0};
    Blocks blocks{};           ///< of the prompt
    std::vector<Block> grown{};///< blocks that the node's cache holds besides once the answer is written
    double bytes_factor{1};    ///< of this text, on the model's bytes per token
    std::optional<int> num_ctx{};
    std::optional<int> output_max{};
    std::string client{};
    std::string tag{};
    bool measured{true};       ///< counts in the figures
};

struct Workload {
    std::string row{};
    std::string title{};
    std::vector<ModelSpec> models{};
    std::vector<NodeSpec> nodes{};
    std::vector<Request> requests{};
    double noise{0.05};        ///< log-normal, of each phase of each request
};

/// A mix of numbers that is the same everywhere.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b)
{
    std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + (b ^ 0xD1B54A32D192ED03ULL);
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31U);
}

} // namespace herd::replay
