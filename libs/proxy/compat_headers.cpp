#include "proxy/compat_headers.hpp"

#include "fleet/model_name.hpp"
#include "proxy/visit.hpp"

#include <algorithm>
#include <cmath>

namespace herd::proxy {
namespace {

constexpr double score_max = 1e12;

/// Theirs is better when it is higher; ours is comparable within one request only.
std::string score_of(double predicted_s)
{
    return std::to_string(std::llround(std::clamp(-1000 * predicted_s, -score_max, score_max)));
}

void add_fleet_fields(http::Fields& fields, FleetHeaders version, const ServedAs& served)
{
    const bool newer = version == FleetHeaders::v08;
    fields.add("X-Fleet-Node", served.node);
    if (newer) {
        fields.add("X-Fleet-Served-Model", served.model);
        fields.add("X-Fleet-Requested-Model", served.requested_model);
        fields.add("X-Fleet-Fallback", served.fallback ? "true" : "false");
        fields.add("X-Fleet-Backend", served.backend);
    } else if (served.fallback) {
        fields.add("X-Fleet-Fallback", served.model);
    }
    if (newer || served.retries > 0) {
        fields.add("X-Fleet-Retries", std::to_string(served.retries));
    }
    if (served.chosen) {
        fields.add("X-Fleet-Score", score_of(served.predicted_s));
        if (newer) {
            fields.add("X-Fleet-Affinity", served.bound || served.familiar ? "matched" : "new");
        }
    }
    if (served.context_length && served.prompt_tokens > *served.context_length) {
        fields.add("X-Fleet-Context-Overflow",
                   "estimated_tokens=" + std::to_string(std::llround(served.prompt_tokens))
                       + "; context_length=" + std::to_string(*served.context_length));
    }
}

std::string_view backend_of(const fleet::Address& address)
{
    return address.cloud() ? "cloud" : address.api() == fleet::NodeApi::openai ? "openai" : "ollama";
}

} // namespace

void add_compat_fields(http::Fields& fields, const CompatHeaders& wanted, const ServedAs& served)
{
    if (wanted.fleet != FleetHeaders::off) {
        add_fleet_fields(fields, wanted.fleet, served);
    }
    if (wanted.ollamaflow) {
        fields.add("X-OllamaFlow-Request", served.request_id);
        fields.add("X-OllamaFlow-Backend", served.node);
        if (served.bound) {
            fields.add("X-OllamaFlow-Sticky", "True");
        }
    }
}

/// The same for the answer of this lease.
void Visit::stamp_compat(http::Fields& fields, const fleet::Lease& lease) const
{
    ServedAs served{.request_id = record_.id,
                    .node = field_value(lease.node_name),
                    .model = field_value(record_.model),
                    .requested_model = field_value(record_.requested_model),
                    .backend = backend_of(lease.address),
                    .retries = record_.attempts.size(),
                    .fallback = record_.fallback,
                    .chosen = lease.decision != nullptr,
                    .bound = lease.bound,
                    .context_length = record_.num_ctx};
    if (lease.decision != nullptr) {
        const auto& decision = *lease.decision;
        served.predicted_s = decision.predicted_s;
        served.prompt_tokens = decision.prompt_tokens;
        served.familiar = !decision.candidates.empty() && decision.candidates.front().node == lease.node
            && decision.candidates.front().cached_tokens > 0;
    }
    if (!served.context_length) {
        const auto snapshot = context_.scheduler.snapshot();
        const auto* node = snapshot->find(lease.node);
        if (node != nullptr && node->facts) {
            const auto& loaded = node->facts->loaded;
            const auto key = fleet::ModelName::parse(record_.model).key;
            const auto at = std::ranges::find(loaded, key, &fleet::LoadedModel::key);
            if (at != loaded.end() && at->context_length > 0) {
                served.context_length = at->context_length;
            }
        }
    }
    add_compat_fields(fields, options().compat, served);
}

} // namespace herd::proxy
