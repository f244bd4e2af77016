#pragma once
// Ollama Herd's file `env`: its settings, taken out as they are used; what is left was not. Pure.
#include "herd/import/toml_text.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace herd::app::import {

/// Whether the value of such a setting is nobody's to read. By whole words of the name: MAX_TOKENS counts, TOKEN is one.
[[nodiscard]] bool is_secret(std::string_view name, std::string_view value);

class Env {
public:
    /// As its own reader has it: comments, "export", quotes around a value, names in any case.
    explicit Env(std::string_view text);

    /// Names without FLEET_. Nothing: not said, or not so that it means something, which `odd` then tells.
    [[nodiscard]] std::optional<std::string> text(const std::string& name);
    [[nodiscard]] std::optional<std::uint64_t> number(const std::string& name);
    [[nodiscard]] bool boolean(const std::string& name, bool otherwise);
    [[nodiscard]] Json object(const std::string& name); ///< {} for nothing
    /// Tells of a value of this one.
    void tell(const std::string& name, std::string_view value, std::string_view what);

    [[nodiscard]] const std::map<std::string, std::string>& left() const { return settings_; }
    [[nodiscard]] const std::string& odd() const { return odd_; } ///< remarks

private:
    std::map<std::string, std::string> settings_{};
    std::string odd_{};
};

} // namespace herd::app::import
