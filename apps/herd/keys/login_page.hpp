#pragma once
// The page that asks for a key, without a script: one field, one button. Pure.
#include "http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace herd::app::keys {

inline constexpr std::string_view login_path = "/dashboard/login";
inline constexpr std::string_view login_style_path = "/dashboard/login.css";
inline constexpr std::string_view logout_path = "/dashboard/logout";

/// `trouble`: why the last try failed; may be empty. Shown as text.
[[nodiscard]] std::string login_page(std::string_view trouble);
[[nodiscard]] std::string_view login_style();
/// Fields that every answer about logging in has: nothing is kept, nothing comes from elsewhere, nobody frames it.
void add_login_fields(http::Fields& fields, std::string_view content_type);

/// The member `key` of a form (application/x-www-form-urlencoded). Nothing: it has none.
[[nodiscard]] std::optional<std::string> key_of_form(std::string_view body);
/// Set-Cookie. `value` empty: forget it.
[[nodiscard]] std::string session_field(std::string_view value, bool secure);

} // namespace herd::app::keys
