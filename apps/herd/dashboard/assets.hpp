#pragma once
// The dashboard's files as they lie in the program. The definition is generated at build time: by
// web/build.mjs from the TypeScript under web/src, or by CMake where this build has no dashboard.
#include <span>
#include <string_view>

namespace herd::app::dashboard {

struct Asset {
    std::string_view path{}; ///< "/dashboard/assets/app-1A2B3C.js"; the page itself is "/dashboard"
    std::string_view type{};
    std::string_view hash{}; ///< of the plain bytes; the ETag is made from it
    std::string_view plain{};
    std::string_view gzip{}; ///< empty where it would not be smaller
};

/// All of them, the page included; empty when this build has no dashboard. Lives as long as the program.
[[nodiscard]] std::span<const Asset> assets();
/// One sentence saying why there is none; empty when there is one.
[[nodiscard]] std::string_view absence();

} // namespace herd::app::dashboard
