#pragma once
// What [models] says about requests for models: values that herd writes into a body of Ollama's own API whose client
// names none, or more than it may. A pinned property is another thing: that one wins over the client. Pure.
// Source: reference/parity.md 2.9.
#include "base/error.hpp"
#include "base/time.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/routes.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::proxy {

/// A keep_alive for ever.
inline constexpr base::Duration for_ever = base::Duration::max();

/// [models."NAME"]
struct ModelRule {
    std::string model{};                       ///< as written
    std::optional<int> num_ctx{};              ///< tokens
    std::optional<base::Duration> keep_alive{};
    bool operator==(const ModelRule&) const = default;
};

struct ModelRulesConfig {
    bool protect{false};                       ///< a num_ctx below what the model is loaded with becomes that number
    std::optional<base::Duration> keep_alive{};     ///< for requests that name none; nothing: Ollama's own
    std::optional<base::Duration> keep_alive_max{}; ///< the most that a request may name
    std::vector<ModelRule> each{};
    bool operator==(const ModelRulesConfig&) const = default;
};

/// Thread: any; immutable.
class ModelRules {
public:
    /// Null when there is nothing to say. Errors: bad_config, one sentence: no name of a model, or one twice.
    [[nodiscard]] static base::Result<std::shared_ptr<const ModelRules>> compile(const ModelRulesConfig& config);

    [[nodiscard]] bool protects() const { return config_.protect; }
    /// The num_ctx for requests that name none, by ModelName::key.
    [[nodiscard]] std::optional<int> num_ctx(std::string_view key) const;
    /// `body` as it is to be for the model of that key; nothing: as it is, which also goes for JSON that is none.
    /// `peek`: what stands in it.
    [[nodiscard]] std::optional<std::string> fitted(std::string_view body, const Route& route, std::string_view key, const BodyPeek& peek) const;

private:
    [[nodiscard]] std::string additions(std::string_view key, const BodyPeek& peek) const;
    [[nodiscard]] std::optional<base::Duration> keep_alive_for(std::string_view key, const BodyPeek& peek) const;
    [[nodiscard]] const ModelRule* rule_of(std::string_view key) const;

    ModelRulesConfig config_{};
    std::unordered_map<std::string, ModelRule> by_key_{};
};

/// Whether a body of that route may name options and a keep_alive: those of Ollama's own API that run a model.
[[nodiscard]] bool takes_options(const Route& route);

} // namespace herd::proxy
