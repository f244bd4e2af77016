#pragma once
// What was learned about speeds, as plain values: kept over restarts by the app, shown in the snapshot.
#include "base/ids.hpp"

#include <string>

namespace herd::fleet {

/// Figures of one digest on one node. 0: not learned.
struct Learned {
    base::NodeId node{};
    std::string digest{};
    double prefill_s{0};       ///< seconds per prompt token at an empty context
    double prefill_slope_s{0}; ///< more seconds per token for each token of context before it
    double decode_s{0};        ///< seconds per output token, alone on the node
    double decode_slope_s{0};  ///< more seconds per token for each other request there
    double load_rate{0};       ///< bytes per second when a model is loaded; of the node, told with every digest
    double weight{0};          ///< observations behind it, as they still count
};

/// One row of NodeView::rates.
struct RateView {
    std::string model{};    ///< as the node displays it
    double prefill_rate{0}; ///< tokens per second, at an empty context
    double decode_rate{0};  ///< tokens per second, alone
    double load_s{0};
    bool measured{false};   ///< false: guessed from siblings or from the hardware
};

} // namespace herd::fleet
