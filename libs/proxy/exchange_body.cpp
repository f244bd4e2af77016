// The places of a request's body that herd may write to, each only when somebody asked for it: what [models] adds;
// num_ctx, when [scheduler] num_ctx_buckets or [models] num_ctx is set; and the model's name, when a fallback that the
// client allowed takes the request. Everything else goes on byte for byte.
#include "proxy/exchange.hpp"

#include "fleet/model_name.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/model_rules.hpp"

#include <utility>

namespace herd::proxy {

/// Where `at` is, `text` stands from now on.
void Exchange::write_at(Place& at, std::string_view text)
{
    body_.replace(at.offset, at.size, text);
    for (Place* other : {&peek_.model_at, &peek_.num_ctx_at}) {
        if (other->offset > at.offset) {
            other->offset = other->offset + text.size() - at.size;
        }
    }
    at.size = text.size();
}

/// `plain`: the body is JSON as it lies in body_, and all of it is there.
void Exchange::fit_body(bool plain)
{
    rewritable_ = plain;
    if (!plain) {
        return;
    }
    if (options_->models != nullptr) {
        if (auto fitted = options_->models->fitted(body_, route_, model_.key, peek_)) {
            body_ = std::move(*fitted);
            peek_ = peek_json(body_);
        }
    }
    context_written_ = peek_.num_ctx.value_or(0);
    profile_.num_ctx_rounded = round_num_ctx(peek_, options_->num_ctx_buckets);
    profile_.larger_will_do = peek_.num_ctx && !options_pinned_ && options_->models != nullptr && options_->models->protects() && takes_options(route_);
    take_context(peek_.num_ctx.value_or(0));
}

/// The body asks for so much context. 0: for none, as it does.
void Exchange::take_context(int tokens)
{
    if (tokens != context_written_) {
        write_at(peek_.num_ctx_at, std::to_string(tokens));
        context_written_ = tokens;
    }
}

/// The body names the model that the lease is for, and the record too; and what that is loaded with, where less would
/// load it anew.
void Exchange::take_model()
{
    if (profile_.need != fleet::Need::slot) {
        return;
    }
    if (profile_.larger_will_do) {
        take_context(granted_->num_ctx != 0 ? granted_->num_ctx : *profile_.num_ctx);
    }
    const auto& instead = granted_->instead;
    const bool other = !instead.key.empty();
    record_.fallback = (other ? instead.key : profile_.model_key) != model_.key;
    const auto& name = other ? instead.model : profile_.model;
    if (name == model_written_) {
        return;
    }
    write_at(peek_.model_at, json_quoted(name));
    model_written_ = name;
    const auto parsed = fleet::ModelName::parse(name);
    record_.model = parsed.valid ? as_listed(*context_.scheduler.snapshot(), parsed.key, parsed.display) : name;
}

} // namespace herd::proxy
