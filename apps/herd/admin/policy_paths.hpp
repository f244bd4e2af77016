#pragma once
// Which paths of the admin API are about frontends and settings of nodes. Pure.
#include "herd/admin/admin.hpp"

#include <optional>
#include <string_view>

namespace herd::app::admin {

/// For GET; nothing: another path.
[[nodiscard]] std::optional<PolicyQuestion> policy_question(std::string_view path);
/// For what changes something, without body; nothing: another path, or not with that method.
[[nodiscard]] std::optional<PolicyChange> policy_change(std::string_view method, std::string_view path);

/// Of models that stay loaded.
[[nodiscard]] bool is_pin_path(std::string_view path);

/// Of what measures the fleet.
[[nodiscard]] bool is_benchmark_path(std::string_view path);
[[nodiscard]] bool is_benchmark_change(std::string_view method, std::string_view path);

} // namespace herd::app::admin
