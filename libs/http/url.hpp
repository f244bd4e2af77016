#pragma once
// http(s)://host[:port][/path] as people configure it.
#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::http {

struct Url {
    std::string scheme{"http"}; ///< "http" or "https"
    std::string host{};         ///< lower case, without brackets
    std::uint16_t port{80};
    std::string path{}; ///< without trailing slash; empty for the root

    [[nodiscard]] std::string authority() const; ///< "host:port", brackets for IPv6
    [[nodiscard]] std::string text() const;
    /// Refuses user info, query, fragment, spaces, other schemes: one sentence each (bad_config).
    [[nodiscard]] static base::Result<Url> parse(std::string_view text);
};

} // namespace herd::http
