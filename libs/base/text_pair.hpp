#pragma once
// The order of pairs of texts, for maps in which one is looked up by two views, without making a pair of strings.
#include <string_view>
#include <utility>

namespace herd::base {

using TextViews = std::pair<std::string_view, std::string_view>;

struct TextPairLess {
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const { return TextViews{a.first, a.second} < TextViews{b.first, b.second}; }
};

} // namespace herd::base
