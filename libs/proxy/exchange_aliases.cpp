// A name that stands for a model of the fleet ([aliases]) becomes that model: in the question, in the one place of the
// body where it stands, and in what is told. The record keeps what was asked for.
#include "proxy/aliases.hpp"
#include "proxy/exchange.hpp"
#include "proxy/json_reader.hpp"

namespace herd::proxy {

std::optional<std::string> Exchange::stands_for(std::string_view text, std::string_view key, const fleet::Snapshot& snapshot) const
{
    Aliases::Asked asked{.text = text, .key = key, .anthropic = route_.dialect == Dialect::anthropic, .members = members()};
    if (asked.anthropic && !context_.old_nodes.empty()) {
        asked.without = context_.old_nodes.without("/v1/messages", context_.loop.now());
    }
    return options_->aliases->stands_for(asked, snapshot);
}

/// For GET /v1/models/NAME: then herd itself shows the row of the model, under the model's own name.
bool Exchange::looks_up_alias(const fleet::Snapshot& snapshot)
{
    if (options_->aliases == nullptr) {
        return false;
    }
    const auto asked = read_model(route_.parameter, route_);
    auto model = asked ? stands_for(route_.parameter, asked->key, snapshot) : std::nullopt;
    model_.written = model.value_or("");
    return model.has_value();
}

/// Changing models takes their own names; everything else may use an alias. `unpacked`: what was found inside of a
/// compressed body.
std::optional<Problem> Exchange::resolve_alias(std::optional<std::string>& unpacked, const fleet::Snapshot& snapshot)
{
    const auto handling = route_.handling;
    if (handling != Handling::inference && handling != Handling::unknown_post && handling != Handling::show
        && handling != Handling::count_tokens) {
        return std::nullopt;
    }
    for (auto* list : {&peek_.fallback_models, &wishes_.fallback_models}) {
        for (std::string& name : *list) {
            const auto asked = read_model(name, route_);
            if (auto model = asked ? stands_for(name, asked->key, snapshot) : std::nullopt) {
                name = std::move(*model);
            }
        }
    }
    auto model = stands_for(model_.text, model_.key, snapshot);
    if (!model) {
        return std::nullopt;
    }
    auto real = read_model(*model, route_);
    if (!real) {
        return std::move(real.error());
    }
    model_.key = std::move(real->key);
    model_.display = std::move(real->display);
    model_.cloud = real->cloud;
    model_.written = std::move(*model);
    return write_alias(unpacked);
}

std::optional<Problem> Exchange::write_alias(std::optional<std::string>& unpacked)
{
    auto& at = peek_.model_at.size > 0 ? peek_.model_at : peek_.name_at;
    if (streamed_ || at.size == 0) {
        return Problem{413, "too_large", "request body too large: \"" + model_.text + "\" stands for another model, whose name cannot be written into it"};
    }
    if (unpacked) {
        body_ = std::move(*unpacked);
        unpacked.reset();
        rewritten_ = true;
    }
    write_at(at, route_.multipart ? model_.written : json_quoted(model_.written));
    return std::nullopt;
}

} // namespace herd::proxy
