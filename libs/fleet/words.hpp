#pragma once
// What the fleet says beyond an error's code, for those who have words of their own for the code.
#include <string_view>

namespace herd::fleet {

/// Ends the message of no_such_model when nodes have the model: NodeSettings::models_allow.
inline constexpr std::string_view may_not_serve = ": the nodes that have it may not serve it (models_allow)";

} // namespace herd::fleet
