#include "fleet/one_slot.hpp"

#include <algorithm>
#include <array>

namespace herd::fleet {
namespace {

constexpr std::array<std::string_view, 8> families{
    "mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe",
};

} // namespace

// Ollama writes without spaces, and a quote inside a string is escaped: these bytes are found where they are meant or
// nowhere. A row in other form only leaves the node's own setting in force.
bool is_one_slot(std::string_view row)
{
    constexpr std::string_view family_key = R"("family":")";
    if (const auto at = row.find(family_key); at != row.npos) {
        const auto rest = row.substr(at + family_key.size());
        const auto family = rest.substr(0, rest.find('"'));
        if (family.starts_with("nemotron_h") || std::ranges::find(families, family) != families.end()) {
            return true;
        }
    }
    return row.find(R"("capabilities":["embedding"])") != row.npos;
}

} // namespace herd::fleet
