#include "fleet/tool.hpp"

namespace herd::fleet {
namespace {

// Agents write without spaces, and a quote inside a string is escaped: these bytes are found where they are meant or
// nowhere. Ollama's own rows have no such members.
constexpr std::string_view type_key = R"("type":")";
constexpr std::string_view backend_key = R"("backend":")";

/// Of the text behind `key`, what stands before the next quote.
std::string_view word_behind(std::string_view row, std::string_view key)
{
    const auto at = row.find(key);
    if (at == row.npos) {
        return {};
    }
    const auto rest = row.substr(at + key.size());
    return rest.substr(0, rest.find('"'));
}

} // namespace

Tool tool_of(std::string_view row)
{
    const auto type = word_behind(row, type_key);
    return type == "image" ? Tool::image : type == "transcription" ? Tool::speech : Tool::none;
}

std::string_view backend_of(std::string_view row) { return word_behind(row, backend_key); }

bool lacks_skill_of(Tool tool, std::string_view row)
{
    constexpr std::string_view key = R"("capabilities":[)";
    const auto at = row.find(key);
    if (tool == Tool::none || at == row.npos) {
        return false;
    }
    const auto rest = row.substr(at + key.size());
    const auto list = rest.substr(0, rest.find(']'));
    const auto names = [list](std::string_view skill) { return list.find(skill) != list.npos; };
    return tool == Tool::image ? !names(R"("image")") : !names(R"("audio")") && !names(R"("transcription")");
}

bool is_listed(std::string_view row) { return row.find(R"("listed":false)") == row.npos; }

} // namespace herd::fleet
