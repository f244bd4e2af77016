// What a client may do with the one model that its request names. Whether it is let in at all: Visit::admit().
#include "proxy/exchange.hpp"

#include "fleet/model_name.hpp"

namespace herd::proxy {

/// HEAD and GET of "/": the same three words for everybody. `ollama` asks it before anything else and reads no error there;
/// let through it comes to the request that it is about, and prints why that one is refused.
bool Exchange::is_liveness() const { return route_.handling == Handling::root && client_.head().path() == "/"; }

/// A key for certain models reaches nothing else by another way: what names no model that we could read, or could
/// still name another one further down, and what changes models, is refused.
std::optional<Problem> Exchange::not_for_caller() const
{
    const Caller& caller = *visit_.caller_;
    if (!caller.limited_to_models()) {
        return std::nullopt;
    }
    switch (route_.handling) {
    case Handling::pull:
    case Handling::push:
    case Handling::create:
    case Handling::blob:
    case Handling::copy:
    case Handling::remove:
    case Handling::account: return Problem{403, "not_allowed", "this key is for certain models only and may not change any"};
    default: break;
    }
    const bool seen_whole = !streamed_ && (!peek_.broken || route_.multipart || route_.handling == Handling::model_lookup);
    if (model_.key.empty() || !seen_whole) {
        return forbidden_model({});
    }
    // Servers differ in which of two members or parts counts, and in whether "MODEL" is one: llama.cpp's and vLLM's read keys
    // exactly, Ollama does not.
    const bool from_body = route_.handling != Handling::model_lookup && (peek_.model_members > 0 || route_.multipart);
    const bool only_ollama = route_.dialect == Dialect::ollama && peek_.model_members == 1;
    if (from_body && !one_model_ && !only_ollama) {
        return forbidden_model({});
    }
    return caller.may_use_model(model_.key) ? std::nullopt : std::optional(forbidden_model(model_.text));
}

/// Models of a cloud are not listed by a frontend that keeps everything here.
ModelFilter Exchange::seen_by_caller() const
{
    const Caller* caller = visit_.caller_ && visit_.caller_->limited_to_models() ? visit_.caller_.get() : nullptr;
    const bool cloud = !visit_.at_ || visit_.at_->frontend->config.allow_cloud;
    if (caller == nullptr && cloud) {
        return {};
    }
    return [this, caller, cloud](std::string_view model_key) {
        if (caller != nullptr && !caller->may_use_model(model_key)) {
            return false;
        }
        bool elsewhere = false;
        return cloud || (!fleet::ModelName::parse(model_key).cloud && (stubs_of(std::string(model_key), elsewhere).empty() || elsewhere));
    };
}

} // namespace herd::proxy
