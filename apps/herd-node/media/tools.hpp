#pragma once
// Which tools there are beside the node, what is told of them, and how one is called. Pure, but for looking at PATH.
#include "discovery/node_document.hpp"
#include "herd-node/media/command_template.hpp"
#include "herd-node/media/image_request.hpp"
#include "herd-node/media/media_options.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

struct ImageTool {
    std::string name{};    ///< "z-image-turbo:latest", as models are listed
    std::string key{};     ///< fleet::ModelName::key of it
    std::string backend{}; ///< "mflux", "diffusionkit", "command"
    std::vector<std::string> command{};
};

/// The configured ones, then those of mflux and DiffusionKit whose program is in a directory of `path` and whose name is
/// not taken. None while images are off.
[[nodiscard]] std::vector<ImageTool> image_tools(const MediaOptions& options, std::string_view path);

/// A program that a person named, and for which model.
struct NamedProgram {
    std::string model{};
    std::string program{};
};
[[nodiscard]] std::vector<NamedProgram> named_programs(const MediaOptions& options);

/// Whether there is such a program, as it will be looked for: in a directory of `path` unless it is a path itself. Blocks
/// for as long as the disk does.
[[nodiscard]] bool can_run(const std::string& program, std::string_view path);

/// The argument vector of an image tool for this request.
[[nodiscard]] std::vector<std::string> fill_command(const std::vector<std::string>& command, const ImageRequest& request,
                                                    const std::string& output);

/// A tool's row among the node's models; `type`: "image" or "transcription".
[[nodiscard]] discovery::ModelFacts row_of(const std::string& name, std::string_view type, std::string_view backend, bool listed);

} // namespace herd::node
