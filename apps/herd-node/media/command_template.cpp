#include "herd-node/media/command_template.hpp"

#include <algorithm>

namespace herd::node {

namespace {

/// Nothing: it asks for what is not there.
std::optional<std::string> filled(const std::string& argument, const Values& values)
{
    std::string out;
    std::size_t done = 0;
    for (std::size_t at = argument.find('{'); at != argument.npos; at = argument.find('{', at + 1)) {
        const auto end = argument.find('}', at);
        if (end == argument.npos) {
            break;
        }
        const auto name = std::string_view(argument).substr(at + 1, end - at - 1);
        const auto found = std::ranges::find(values, name, &Values::value_type::first);
        if (found == values.end()) {
            continue;
        }
        if (!found->second) {
            return std::nullopt;
        }
        out.append(argument, done, at - done).append(*found->second);
        done = end + 1;
    }
    out.append(argument, done);
    const bool became_flag = out.starts_with('-') && !argument.starts_with('-');
    return became_flag ? " " + out : out;
}

} // namespace

std::vector<std::string> fill_command(const std::vector<std::string>& command, const Values& values)
{
    std::vector<std::string> out;
    bool flag_before = false; // the last one, written as it stands there
    for (const auto& argument : command) {
        auto value = filled(argument, values);
        if (!value && flag_before && !argument.starts_with('-')) {
            out.pop_back();
        }
        flag_before = value && argument.starts_with('-') && *value == argument && !out.empty();
        if (value) {
            out.push_back(std::move(*value));
        }
    }
    return out;
}

std::string command_fault(const std::vector<std::string>& command, std::initializer_list<std::string_view> needed)
{
    if (command.empty() || command.front().empty()) {
        return "needs a command: the program and its arguments, each a string of its own";
    }
    for (const auto name : needed) {
        const auto place = "{" + std::string(name) + "}";
        if (std::ranges::none_of(command, [&](const std::string& argument) { return argument.find(place) != std::string::npos; })) {
            return "its command lacks " + place + ", which stands for what the program cannot do without";
        }
    }
    return {};
}

} // namespace herd::node
