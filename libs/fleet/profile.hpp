#pragma once
// The two questions of an exchange: acquire(profile) → lease, and finished(lease, outcome).
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"
#include "fleet/decision.hpp"
#include "fleet/node.hpp"
#include "fleet/rules.hpp"
#include "fleet/tool.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::fleet {

enum class Priority : std::uint8_t { interactive, normal, batch };

/// What kind of place a request needs.
enum class Need : std::uint8_t {
    slot,  ///< inference: one slot of the model, queued for if none is free
    model, ///< a node that has the model, no slot (show, push)
    any,   ///< any routable node (blobs, create, pull)
};

/// One block of the canonical prompt: tools, system, then messages in order (not the JSON text).
struct PromptBlock {
    std::uint64_t chain{0}; ///< hash of this block and of all before it: equal chains mean equal beginnings
    std::uint32_t bytes{0}; ///< of text in this block alone
};
/// Shared, because a profile is copied on each retry. Bounded by who makes it.
using PromptChain = std::shared_ptr<const std::vector<PromptBlock>>;

/// A model that may stand in for the one asked for.
struct ModelChoice {
    std::string key{};   ///< ModelName::key
    std::string model{}; ///< as the client wrote it
};

inline constexpr std::uint64_t hash_start = 0xcbf29ce484222325U; ///< FNV-1a, 64 bits
inline constexpr std::uint64_t hash_step = 0x100000001b3U;

/// Hash of all load-time options; 0: none given. Two requests of one class can share a loaded model. `rest`: of those
/// beside num_ctx.
[[nodiscard]] constexpr std::uint64_t options_class_of(std::uint64_t rest, std::optional<int> num_ctx)
{
    if (!num_ctx) {
        return rest;
    }
    const auto value = (rest ^ hash_start ^ static_cast<std::uint64_t>(*num_ctx)) * hash_step;
    const auto mixed = value ^ (value >> 32U);
    return mixed == 0 ? 1 : mixed;
}

/// What the scheduler must know of a request. Units: bytes, tokens, instants.
struct Profile {
    Need need{Need::slot};
    std::string model_key{}; ///< ModelName::key; empty with Need::any
    std::string model{};     ///< as the client wrote it, for messages
    std::optional<int> num_ctx{};   ///< explicit, else the node's default
    std::uint64_t options_class{0}; ///< options_class_of(options_rest, num_ctx)
    std::uint64_t options_rest{0};
    bool num_ctx_rounded{false};    ///< the client asked for less
    bool larger_will_do{false};     ///< than num_ctx, where the model is loaded so: Lease::num_ctx tells
    std::size_t prompt_bytes{0};   ///< of text
    int images{0};
    PromptChain prompt{};          ///< null: unknown
    bool generates{true};          ///< false: embeddings, no decode
    std::vector<ModelChoice> fallbacks{}; ///< in order of preference; never taken silently
    bool is_fallback{false};              ///< `model` was one of them: the dispatcher's to say
    std::optional<int> output_tokens_max{};
    std::string client{};  ///< key name or address: the unit of fairness
    std::string tag{};     ///< of the client's kind of work: output lengths are learned per model and tag
    std::string session{}; ///< affinity hint, may be empty
    Priority priority{Priority::normal};
    std::vector<std::string> labels{}; ///< lower case; the node must carry all of them
    std::string node{};                ///< name or id, when the client pins one
    std::shared_ptr<const Rules> rules{}; ///< of its frontend; null: none
    std::vector<NodeId> exclude{};     ///< tried already
    bool resident_only{false};         ///< nothing is to be loaded for it: an Ollama was too busy to load the model
    Tool tool{Tool::none};             ///< tools of this kind do what is asked
    bool tools_only{false};            ///< and no model does
    bool openai{false};                ///< one of the paths under /v1: nodes that serve only those will do too
    bool allow_cloud{false};           ///< nodes outside of this LAN may serve it
    int attempt{0};                    ///< 0 first; > 0 takes of the retry budget
    base::Instant deadline{};          ///< of waiting in the queue
};

/// Whether what a node has under the name asked for is of the kind that is meant: a tool beside one node never stands
/// for the model of another.
[[nodiscard]] constexpr bool is_meant_kind(Tool held, const Profile& profile)
{
    return held == Tool::none ? !profile.tools_only : held == profile.tool;
}

using Ticket = std::uint64_t;  ///< one acquire in progress; chosen by the asker, unique in the process
using LeaseId = std::uint64_t; ///< one occupied slot (or place)

struct Lease {
    LeaseId id{0};
    NodeId node{};
    std::string node_name{};
    Address address{};
    std::uint64_t boot_id{0};
    bool was_loaded{false};      ///< the catalog believed the model resident
    base::Duration queued{};     ///< time from acquire to grant
    ModelChoice instead{};       ///< the fallback that is to run; empty: the model that was asked for
    std::shared_ptr<const Decision> decision{}; ///< how the place was chosen; may be null
    int num_ctx{0};              ///< the larger one that it is loaded with there (Profile::larger_will_do); 0: as asked
    bool tool{false};            ///< a tool does it, and is free once its answer begins
    bool bound{false};           ///< its conversation was bound to this node before
};

/// Why no lease was granted. `error.code` ∈ no_such_model, no_node, no_such_label, queue_full,
/// deadline_passed, attempts_failed (retry budget spent or nobody left), cancelled, bad_config (the node that is meant
/// lacks what the context says).
struct Refusal {
    base::Error error{};
    base::Duration retry_after{}; ///< 0: do not say
};

/// How an attempt ended, as the fleet needs to know it.
enum class Result : std::uint8_t {
    served,        ///< the node answered (any status that is the client's business)
    cancelled,     ///< the client left, or we did
    refused,       ///< could not connect: refused or no route
    timed_out,     ///< could not connect in time, or it went silent
    broken,        ///< connection reset or ended early
    failed,        ///< the node answered 5xx of the retryable kind
    busy,          ///< the queue of its Ollama is full: no failure of the node
    model_missing, ///< 404 against the catalog: the catalog is wrong
    route_missing, ///< text 404: this Ollama is too old for the route
};
[[nodiscard]] std::string_view to_string(Result result);

/// Timings as the node reported them, in its own clock. 0 = not reported.
struct Timings {
    base::Duration total{};
    base::Duration load{};
    base::Duration prompt_eval{};
    base::Duration eval{};
    std::int64_t prompt_tokens{0};
    std::int64_t output_tokens{0};
};

/// How many prompt tokens the node found in its cache: the time that prompt evaluation took, at the assumed rate
/// (Weighed::prefill_rate, tokens per second), leaves the rest. 0 when the timings do not tell, or when the
/// difference is within what such a prediction is worth.
[[nodiscard]] double estimate_cached_tokens(const Timings& timings, double prefill_rate);

struct Outcome {
    Result result{Result::served};
    int status{0};              ///< HTTP status of the node, 0 without one
    base::Duration first_byte{};///< from lease to the first byte of the answer
    base::Duration took{};      ///< from lease to now
    Timings timings{};
    std::string reason{};       ///< of a failure, one short phrase
};

} // namespace herd::fleet
