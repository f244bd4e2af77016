#pragma once
// A program's arguments with places in them for what a request says: "--seed={seed}". Pure.
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::node {

/// What stands for {name}; nothing: the request does not say it. Other names in braces are the person's own text.
using Values = std::vector<std::pair<std::string_view, std::optional<std::string>>>;

/// The argument vector for a request. An argument that asks for what the request does not say is left out, together with
/// the flag before it that it would have been the value of. What begins with a dash only because a value does gets a blank
/// before it: a client's text must not become a flag.
[[nodiscard]] std::vector<std::string> fill_command(const std::vector<std::string>& command, const Values& values);

/// What is wrong with a command that needs those places; empty: nothing.
[[nodiscard]] std::string command_fault(const std::vector<std::string>& command, std::initializer_list<std::string_view> needed);

} // namespace herd::node
