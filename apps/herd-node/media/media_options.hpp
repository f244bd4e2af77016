#pragma once
// What a person can set about tools beside the node: [media] of herd-node.toml. Plain values.
#include "base/time.hpp"
#include "config/backend_url.hpp"

#include <optional>
#include <string>
#include <vector>

namespace herd::node {

/// A program that makes an image.
struct ImageToolOptions {
    std::string model{};                ///< the name that requests ask for
    std::vector<std::string> command{}; ///< with {prompt} and the like in it
    bool operator==(const ImageToolOptions&) const = default;
};

/// What writes speech down: a service, or a program.
struct SpeechToolOptions {
    std::string model{};                     ///< empty: there is none
    std::optional<config::BackendUrl> url{}; ///< of a service
    std::string token_file{};                ///< absolute; what the service wants to see
    std::string token{};                     ///< secret: what stands there
    std::vector<std::string> command{};      ///< with {input} and {language} in it; prints what it understood
};

struct MediaOptions {
    bool images{true}; ///< those of `image`, and the well-known ones that are found on PATH
    std::vector<ImageToolOptions> image{};
    base::Duration image_timeout{std::chrono::seconds{120}};
    SpeechToolOptions transcription{};
    base::Duration transcription_timeout{std::chrono::seconds{300}};
    bool list_in_tags{true};
};

} // namespace herd::node
