#include "fleet/model_pattern.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr std::string_view library = "registry.ollama.ai/library/";
constexpr std::string_view registry = "registry.ollama.ai/";

/// As a name means what is left out of it, the beginning of one does: it never reaches into another registry, nor into
/// the namespace of somebody whose name begins alike.
std::string beginning_of_key(const std::string& text)
{
    const auto slash = text.find('/');
    if (slash == text.npos) {
        return std::string(library) + text;
    }
    const std::string_view first = std::string_view(text).substr(0, slash);
    const bool host = first.find_first_of(".:") != first.npos || text.find('/', slash + 1) != text.npos;
    return host ? text : std::string(registry) + text;
}

} // namespace

std::optional<ModelPattern> ModelPattern::parse(std::string_view text)
{
    if (!text.ends_with('*')) {
        auto name = ModelName::parse(text);
        return name.valid && !name.cloud ? std::optional(ModelPattern{std::string(text), std::move(name.key), false}) : std::nullopt;
    }
    auto beginning = beginning_of_key(base::lower(text.substr(0, text.size() - 1)));
    auto whole = beginning;
    whole += whole.ends_with('/') || whole.ends_with(':') ? "x" : "";
    whole += std::ranges::count(whole, '/') < 2 ? "/x" : "";
    return ModelName::parse(whole).valid ? std::optional(ModelPattern{std::string(text), std::move(beginning), true}) : std::nullopt;
}

std::optional<ModelPattern> ModelPattern::parse_served(std::string_view text)
{
    if (text == "*") {
        return ModelPattern{std::string(text), {}, true};
    }
    if (auto name = ModelName::parse(text); name.valid && name.cloud) {
        return ModelPattern{std::string(text), std::move(name.key), false};
    }
    return parse(text);
}

bool ModelPattern::fits(std::string_view model_key) const { return beginning ? model_key.starts_with(key) : model_key == key; }

bool fits_any(const std::vector<ModelPattern>& patterns, std::string_view model_key)
{
    return std::ranges::any_of(patterns, [=](const ModelPattern& pattern) { return pattern.fits(model_key); });
}

} // namespace herd::fleet
