#pragma once
// Why a request went where it went: every candidate with its cost in seconds. Made by the policy, carried by
// the lease, shown by /herd/v1/route, /herd/v1/requests/{id}, `herd route` and `herd why`. Plain values.
// Source: design/scheduling.md 1.
#include "base/ids.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::fleet {

/// Why a node is not considered, or that it is.
enum class Exclusion : std::uint8_t {
    none,          ///< may be chosen
    not_pinned,    ///< the client asked for another node
    not_member,    ///< the frontend does not have this node
    not_allowed,   ///< not used for embeddings, or not for completions
    bound_elsewhere, ///< the conversation goes on at another node
    label_missing, ///< does not carry a label asked for
    tried,         ///< failed this request already
    not_verified,  ///< announced or configured, not confirmed yet, or starting
    suspect,       ///< something failed there; a last resort at best
    draining,
    offline,
    unreachable,
    model_missing, ///< does not have the model
    no_free_slot,
    cannot_fit,    ///< the model is larger than its memory
    held_back,     ///< this model failed there lately
    loading,       ///< another load is in progress there
    other_api,     ///< serves other paths than the one asked
    cloud,         ///< outside of this LAN, and the request does not allow that
    reserved,      ///< kept free for others: this client lately used far more than its share
    not_loaded,    ///< the model is not in its memory, and nothing is to be loaded: Profile::resident_only
    other_tier,    ///< a node of a lower tier can do it
    model_not_allowed, ///< may not serve that model: NodeSettings::models_allow. Records number these: new ones go last
};
[[nodiscard]] std::string_view to_string(Exclusion exclusion);

/// The predicted cost of a request on a node. All in seconds.
struct Cost {
    double wait_s{0};    ///< until a slot of the model frees there
    double load_s{0};    ///< of the model, and what evicting others costs; 0 when resident as wanted
    double prefill_s{0}; ///< of the prompt tokens that are not cached
    double decode_s{0};  ///< of the answer expected
    double risk_s{0};    ///< chance of failure times the cost of failing over
    [[nodiscard]] double total_s() const { return wait_s + load_s + prefill_s + decode_s + risk_s; }
};

/// One node as the policy saw it.
struct Weighed {
    base::NodeId node{};
    std::string name{};
    Exclusion exclusion{Exclusion::none}; ///< no_free_slot is no verdict: such a node has a wait_s
    Cost cost{};                          ///< meaningful when the node is eligible or only lacks a free slot
    bool loaded{false};
    bool same_class{false};               ///< loaded with the options this request needs
    int free_slots{0};
    int slots{0};
    double cached_tokens{0};              ///< of the prompt, as believed
    double prefill_rate{0};               ///< tokens per second assumed
    double decode_rate{0};
};

/// One answer of the policy.
struct Decision {
    std::string model{};                ///< decided for; a fallback's name when that was taken
    std::optional<base::NodeId> chosen{};
    double prompt_tokens{0};            ///< estimated
    double output_tokens{0};            ///< expected
    double predicted_s{0};              ///< total of the chosen one; of the best one when nothing is free
    int ahead{0};                       ///< requests before this one, when it has to wait
    std::string note{};                 ///< one sentence when nobody is chosen
    std::size_t left_out{0};            ///< candidates beyond those listed
    std::vector<Weighed> candidates{};  ///< the chosen one first, then by cost, then the excluded ones
};

} // namespace herd::fleet
