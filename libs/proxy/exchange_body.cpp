// The two places of a request's body that herd may write to, each only when somebody asked for it: num_ctx, when
// [scheduler] num_ctx_buckets is set, and the model's name, when a fallback that the client allowed takes the
// request. Everything else goes on byte for byte.
#include "proxy/exchange.hpp"

#include "fleet/model_name.hpp"
#include "proxy/json_reader.hpp"

namespace herd::proxy {

/// `plain`: the body is JSON as it lies in body_, and all of it is there.
void Exchange::fit_body(bool plain)
{
    rewritable_ = plain;
    if (!plain || !round_num_ctx(peek_, options_->num_ctx_buckets)) {
        return;
    }
    auto& at = peek_.num_ctx_at;
    const auto text = std::to_string(peek_.num_ctx.value_or(0));
    body_.replace(at.offset, at.size, text);
    if (peek_.model_at.offset > at.offset) {
        peek_.model_at.offset = peek_.model_at.offset + text.size() - at.size;
    }
    at.size = text.size();
}

/// The body names the model that the lease is for, and the record too.
void Exchange::take_model()
{
    if (profile_.need != fleet::Need::slot) {
        return;
    }
    const auto& instead = granted_->instead;
    const bool other = !instead.key.empty();
    record_.fallback = (other ? instead.key : profile_.model_key) != model_.key;
    const auto& name = other ? instead.model : profile_.model;
    if (name == model_written_) {
        return;
    }
    auto& at = peek_.model_at;
    const auto text = json_quoted(name);
    body_.replace(at.offset, at.size, text);
    at.size = text.size();
    model_written_ = name;
    const auto parsed = fleet::ModelName::parse(name);
    record_.model = parsed.valid ? as_listed(*context_.scheduler.snapshot(), parsed.key, parsed.display) : name;
}

} // namespace herd::proxy
