#pragma once
// What a person can set about tools beside the node: [media] of herd-node.toml. Plain values.
#include "base/time.hpp"

#include <string>
#include <vector>

namespace herd::node {

/// A program that makes an image.
struct ImageToolOptions {
    std::string model{};                ///< the name that requests ask for
    std::vector<std::string> command{}; ///< with {prompt} and the like in it
    bool operator==(const ImageToolOptions&) const = default;
};

struct MediaOptions {
    bool images{true}; ///< those of `image`, and the well-known ones that are found on PATH
    std::vector<ImageToolOptions> image{};
    base::Duration image_timeout{std::chrono::seconds{120}};
    bool list_in_tags{true};
};

} // namespace herd::node
