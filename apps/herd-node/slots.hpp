#pragma once
// How many requests each loaded model can run at a time. The API does not say; the runner processes do, but
// they know weights files, not names. This joins the two. Pure.
#include "discovery/node_document.hpp"
#include "herd-node/probes/ollama_api.hpp"
#include "herd-node/probes/ollama_process.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace herd::node {

/// What is known about the runners of this box's Ollama.
struct RunnerView {
    std::optional<OllamaSettings> settings{};
    std::optional<DiskRoom> disk{};
    std::vector<Runner> runners{};
    std::map<int, Slots> slots{};               ///< by pid: answers of /slots
    int foreign{0}; ///< requests that keep runners busy beyond those that came through our gateway
    std::map<std::string, std::string> blobs{}; ///< manifest digest → weights file, from /api/show
    bool operator==(const RunnerView&) const;
};

/// Fills `slots` and `in_flight` of each loaded model: from its runner when it is known which one that is,
/// or when all runners agree. `forced` (--slots) wins over everything. What stays unknown stays empty.
void assign_slots(std::vector<discovery::LoadedFacts>& loaded, const RunnerView& view,
                  std::optional<int> forced);

/// Slots of a model that does not say its own: --slots, else OLLAMA_NUM_PARALLEL.
[[nodiscard]] std::optional<int> default_slots(const RunnerView& view, std::optional<int> forced);

/// True when runners differ, so that it must be known which one runs which model.
[[nodiscard]] bool needs_blobs(const RunnerView& view);

} // namespace herd::node
