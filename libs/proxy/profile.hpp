#pragma once
// From a request to the question the scheduler is asked: whom for, which model, how big, how urgent. Pure.
// Source: design/contract.md 4; reference/parity.md 1.3; reference/ollama-api.md 1.0 "Model reference parsing".
#include "base/ip.hpp"
#include "fleet/profile.hpp"
#include "fleet/snapshot.hpp"
#include "http/message.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/problem.hpp"
#include "proxy/routes.hpp"

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace herd::proxy {

/// What a client asks of herd itself, in header fields.
struct Wishes {
    std::string node{};
    std::vector<std::string> labels{}; ///< lower case
    std::shared_ptr<const fleet::Rules> rules{}; ///< not the client's: of the frontend; null: none
    std::string session{};
    fleet::Priority priority{fleet::Priority::normal};
    std::vector<std::string> tags{};
    std::string product{}; ///< of User-Agent, lower case, without version: "open-webui"; may be empty
    std::vector<std::string> fallback_models{};
    bool allow_cloud{false}; ///< X-Herd-Allow-Cloud: this request may leave the LAN
    bool no_fallback{false}; ///< X-Fleet-No-Fallback: this model or an error
    std::optional<base::Duration> deadline{};
    std::string fault{};      ///< labels that cannot be honoured: the request must be refused with this sentence
    std::string request_id{}; ///< empty unless fit to be ours: 1 to 64 of [A-Za-z0-9._-]
};
/// `sessions`: names of fields that hold a conversation's key, besides X-Herd-Session.
/// Fields that make no sense are as if they were not there, except labels: see Wishes::fault.
[[nodiscard]] Wishes read_wishes(const http::Fields& fields, std::span<const std::string> sessions);

struct ProxyOptions;
/// How long such a request may wait for a place.
[[nodiscard]] base::Duration patience_of(const ProxyOptions& options, const Wishes& wishes);

/// A model as a client names it.
struct ModelReference {
    std::string text{}; ///< as written, for messages
    std::string key{};  ///< fleet::ModelName::key
    bool cloud{false};  ///< runs elsewhere: costs no slot
    std::string display{}; ///< shortest form with tag; `text` where that is no name
    std::string written{}; ///< the model that `text` is an alias of, as a node is to read it; empty: it is none
    [[nodiscard]] const std::string& to_write() const { return written.empty() ? text : written; }
};
/// Errors: Ollama's own words for no name, a bad name, or both :local and :cloud.
[[nodiscard]] std::expected<ModelReference, Problem> read_model(std::string_view text, const Route& route);

/// Whether `text` is that listed name to the letter, but for ":latest", which every route adds.
[[nodiscard]] bool is_spelled(std::string_view text, std::string_view listed);
/// The model of that key as a node spells it, else `otherwise` in lower case. Names are equal whatever their case:
/// records, sums and metrics tell models apart by this.
[[nodiscard]] std::string as_listed(const fleet::Snapshot& snapshot, const std::string& key, std::string_view otherwise);

/// What to do with a request whose body has been looked at.
struct Reading {
    enum class Then : std::uint8_t {
        ask,    ///< profile.model_key names a model
        unload, ///< no inference at all: free the model wherever it is loaded
        refuse, ///< with `problem`
        any,    ///< we cannot say what is wrong in Ollama's exact words: any node will
    };
    Then then{Then::ask};
    ModelReference model{};
    Problem problem{};
};
/// For routes whose body names one model. `name` is that when it came from elsewhere (a form, the path).
/// `body` is the JSON that was peeked at; `whole` when it is not just its beginning.
[[nodiscard]] Reading read_request(const Route& route, const BodyPeek& peek, std::string_view body, bool whole,
                                   const std::string& name);

/// Those of the body, of the header, and "user:…" of OpenAI's field, in this order, each once: at most 16 of at
/// most 64 bytes without control characters; what is over that is dropped (parity.md 2.12).
[[nodiscard]] std::vector<std::string> all_tags(const BodyPeek& peek, const Wishes& wishes);
/// X of a tag "session:X"; empty when there is none.
[[nodiscard]] std::string session_of(const std::vector<std::string>& tags);

/// The scheduler's question, without node choice. `peek` may be of an empty body. Fallbacks: those of the body,
/// then those of the header, for inference only.
[[nodiscard]] fleet::Profile make_profile(const Route& route, fleet::Need need, const ModelReference& model,
                                          const BodyPeek& peek, const Wishes& wishes, const base::Endpoint& peer,
                                          base::Instant deadline);
/// The same into `profile`, which is new.
void fill_profile(fleet::Profile& profile, const Route& route, fleet::Need need, const ModelReference& model,
                  const BodyPeek& peek, const Wishes& wishes, const base::Endpoint& peer, base::Instant deadline);

/// "fallback": "prefer_loaded": when the model is in memory nowhere where it may run, the first of the fallbacks that is
/// takes its place, and it becomes the first of the fallbacks. profile.is_fallback tells.
void prefer_loaded(fleet::Profile& profile, const Wishes& wishes, const fleet::Snapshot& snapshot);

/// Whether the wishes leave this node. `pinned`: the one that they name, if that is known.
[[nodiscard]] bool allowed(const fleet::NodeView& node, const Wishes& wishes, const fleet::NodeView* pinned);

/// Asks for the least of `buckets` (ascending) that is not below the num_ctx asked for, with the options class that
/// goes with it. True when that is another number; then it has to be written to where num_ctx_at is.
bool round_num_ctx(BodyPeek& peek, const std::vector<int>& buckets);

} // namespace herd::proxy
