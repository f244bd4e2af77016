#pragma once
// The part of a target behind the question mark, read strictly: who mistypes a parameter is told, and does not get
// an answer to another question. Pure.
#include "base/time.hpp"

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace herd::app::admin {

class Query {
public:
    /// Names outside of `known`, names twice and bad escapes are a fault().
    Query(std::string_view text, std::initializer_list<std::string_view> known);
    /// One sentence; empty when all is well.
    [[nodiscard]] const std::string& fault() const { return fault_; }
    void fail(std::string sentence);

    [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
    /// Empty when not given.
    [[nodiscard]] std::string text(std::string_view name) const;
    [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t otherwise, std::uint64_t least, std::uint64_t most);
    /// "90s", "1h", "1d".
    [[nodiscard]] base::Duration duration(std::string_view name, base::Duration otherwise);
    /// RFC 3339, seconds of the epoch, or a span before `now` ("24h").
    [[nodiscard]] std::optional<base::WallTime> time(std::string_view name, base::WallTime now);

private:
    std::map<std::string, std::string, std::less<>> values_;
    std::string fault_;
};

} // namespace herd::app::admin
