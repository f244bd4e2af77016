#pragma once
// What a node could do, guessed from what it says of its hardware: the cold start of the learned rates. Decoding
// reads all weights once per token, so it goes with the memory bandwidth; prompts go with the arithmetic.
#include "fleet/node.hpp"
#include "fleet/rates.hpp"

#include <optional>

namespace herd::fleet {

/// Of one node. `kind` is equal for nodes with the same accelerators (or, without any, as many cores).
struct Hardware {
    std::uint64_t kind{0};
    bool known{false};      ///< the node told something at all
    bool unified{false};    ///< GPU and host share one memory
    double bandwidth{50e9}; ///< bytes per second, of the memory the model would run in
    double arithmetic{1e12};///< operations per second on 16-bit numbers
    double ram_bandwidth{50e9};
    double ram_arithmetic{1e12};
    Bytes vram_total{0};
    Bytes ram_total{0};
};

[[nodiscard]] Hardware hardware_of(const NodeFacts& facts);

/// Of its memory, in bytes per second: as the driver told, else by its name from the makers' data sheets. Nothing: unknown.
[[nodiscard]] std::optional<double> memory_bandwidth(const Gpu& gpu);

/// The speed to assume for a model of `size` bytes. `in_vram`: the share of it that fits there.
[[nodiscard]] Speed guess_speed(const Hardware& hardware, Bytes size, double in_vram);

} // namespace herd::fleet
