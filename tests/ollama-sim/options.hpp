#pragma once
// What kind of box ollama-sim pretends to be.
#include "base/time.hpp"
#include "base/units.hpp"

#include <string>
#include <vector>

namespace herd::sim {

struct ModelSpec {
    std::string name{};
    base::Bytes size{0}; ///< 0: guessed from the name ("7b" → 4.7 GB)
};

struct Options {
    std::string version{"0.33.0"};
    std::vector<ModelSpec> models{};
    double prefill_tokens_per_s{2000};
    double decode_tokens_per_s{60};
    base::Bytes memory{16 * base::gib};     ///< what loaded models may use together
    base::Bytes vram{16 * base::gib};       ///< the part of it that is on the GPU
    double load_bytes_per_s{8e9};
    int num_parallel{1};
    int max_loaded{3};
    int max_queue{512};
    int context_length{4096};
    base::Duration keep_alive{std::chrono::minutes{5}};
    double concurrency_cost{0.35}; ///< each further running request slows a token by this share
    bool on_loopback{true};        ///< Ollama checks Host only then
};

} // namespace herd::sim
