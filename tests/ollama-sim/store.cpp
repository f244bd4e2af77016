#include "store.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::sim {

namespace {

/// "qwen3:8b" → 8, "llama3.2:3b" → 3; 7 when the name does not say.
double billions_in(std::string_view name)
{
    const auto colon = std::min(name.find(':'), name.size());
    std::string_view tag = name.substr(std::min(colon + 1, name.size()));
    double value = 0;
    const auto [end, error] = std::from_chars(tag.data(), tag.data() + tag.size(), value);
    const bool ok = error == std::errc{} && end != tag.data() + tag.size() && (*end == 'b' || *end == 'B');
    return ok && value > 0 ? value : 7;
}

} // namespace

std::string sha256_hex(std::string_view text)
{
    return base::to_hex(net::sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})); // NOLINT
}

std::string go_time(base::WallTime time)
{
    const auto us = time.time_since_epoch().count();
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}000Z", fmt::gmtime(static_cast<std::time_t>(us / 1'000'000)),
                       us % 1'000'000);
}

Store::Store(const Options& options, base::WallTime now)
{
    auto when = now;
    for (const ModelSpec& spec : options.models) {
        put(fabricate(spec, when));
        when -= std::chrono::seconds{1}; // a stable order
    }
}

StoredModel Store::fabricate(const ModelSpec& spec, base::WallTime now)
{
    const auto name = fleet::ModelName::parse(spec.name);
    StoredModel model;
    model.name = name.display;
    model.blob = "sha256:" + sha256_hex("weights of " + name.key);
    model.digest = sha256_hex("manifest of " + name.key);
    model.size = spec.size != 0 ? spec.size : static_cast<base::Bytes>(billions_in(name.display) * 0.6e9);
    model.modified = now;
    model.embeds = name.key.find("embed") != std::string::npos || name.key.find("minilm") != std::string::npos;
    model.family = model.embeds ? "bert" : name.key.find("qwen") != std::string::npos ? "qwen3" : "llama";
    return model;
}

const StoredModel* Store::find(std::string_view name) const
{
    const auto found = models_.find(fleet::ModelName::parse(name).key);
    return found == models_.end() ? nullptr : &found->second;
}

void Store::put(StoredModel model)
{
    blobs[model.blob] = model.size;
    const std::string key = fleet::ModelName::parse(model.name).key;
    models_[key] = std::move(model);
}

bool Store::remove(std::string_view name) { return models_.erase(fleet::ModelName::parse(name).key) > 0; }

std::vector<const StoredModel*> Store::list() const
{
    std::vector<const StoredModel*> all;
    for (const auto& [key, model] : models_) {
        all.push_back(&model);
    }
    std::ranges::sort(all, [](const auto* a, const auto* b) {
        return std::tuple{b->modified, a->name} < std::tuple{a->modified, b->name};
    });
    return all;
}

nlohmann::ordered_json details_of(const StoredModel& model, bool with_context)
{
    const double billions = static_cast<double>(model.size) / 0.6e9;
    nlohmann::ordered_json details{{"parent_model", model.parent},
                                   {"format", "gguf"},
                                   {"family", model.family},
                                   {"families", {model.family}},
                                   {"parameter_size", fmt::format("{:.1f}B", billions)},
                                   {"quantization_level", "Q4_K_M"}};
    if (with_context) {
        details["context_length"] = model.embeds ? 512 : 131072;
        details["embedding_length"] = model.embeds ? 64 : 4096;
    }
    return details;
}

} // namespace herd::sim
