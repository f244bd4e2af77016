#pragma once
// Requests that change what nodes have. They are sent to every holder or to one chosen node, never twice
// once they may have begun, and the fleet reads the result before the client hears of it: who deletes a
// model and lists the models right after does not see it.
// Source: reference/ollama-api.md 2.1, 2.2; reference/parity.md 2.2.
#include "proxy/ask.hpp"
#include "proxy/profile.hpp"

#include <functional>
#include <string>
#include <vector>

namespace herd::proxy {

/// The nodes that have the model and can be asked, of those the wishes allow.
[[nodiscard]] std::vector<Target> holders_of(const fleet::Snapshot& snapshot, std::string_view model_key,
                                             const Wishes& wishes);

/// Where blobs are collected and models are made: the node that has the blobs or the base model, else the
/// biggest one; the same for every loop and client. Nil: nobody.
[[nodiscard]] base::NodeId choose_build_node(const fleet::Snapshot& snapshot, const BlobMemory& memory,
                                             const std::vector<std::string>& digests, std::string_view base_model_key,
                                             const Wishes& wishes, const std::vector<base::NodeId>& exclude);
/// Where to pull: a node that is pulling the model, else one that has it already (an update), else the one with most
/// free memory. `fits`: asked of each node that may be chosen.
[[nodiscard]] base::NodeId choose_pull_node(const fleet::Snapshot& snapshot, const PullMemory& pulls, const std::string& model_key,
                                            const Wishes& wishes, const std::vector<base::NodeId>& exclude,
                                            const std::function<bool(const fleet::NodeView&)>& fits = {});

/// Sends the client's request to all of `targets` and sums up. `path` with query.
/// The answer: the first good one as it is; when none is good, the first there is; some but not all good:
/// 500 naming the others (with `all_or_error`), else the good one.
struct Broadcast {
    std::string method{};
    std::string path{};
    std::string body{};
    base::Duration timeout{std::chrono::seconds{60}};
    bool all_or_error{true};
    bool rereads{true}; ///< the model lists change
};
struct Broadcasted {
    LocalAnswer answer{};
    std::vector<AttemptRecord> attempts{}; ///< one for each target, in their order
};
[[nodiscard]] net::Task<Broadcasted> broadcast(Context& context, std::string own_id, std::vector<Target> targets,
                                               Broadcast what);

/// Reads the model lists of `targets` again and waits until the fleet has taken note.
[[nodiscard]] net::Task<void> reread_models(Context& context, std::string own_id, std::vector<Target> targets);

} // namespace herd::proxy
