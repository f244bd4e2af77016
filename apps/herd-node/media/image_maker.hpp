#pragma once
// Images, made by programs beside the node.
#include "herd-node/media/kept_body.hpp"
#include "herd-node/media/tool_desk.hpp"
#include "herd-node/media/tools.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace herd::node {

/// Thread: the loop's.
class ImageMaker {
public:
    /// `path`: where programs are looked for, as $PATH is written.
    ImageMaker(ToolDesk& desk, const MediaOptions& options, std::string_view path);

    /// Of those whose program is not among the missing ones.
    void add_rows(std::vector<discovery::ModelFacts>& rows, const std::set<std::string>& missing) const;
    [[nodiscard]] bool may_be_asked(const proxy::Route& route, const http::RequestHead& head) const;
    /// Answers; or gives back the body of a request that is for no tool. Requires: may_be_asked().
    [[nodiscard]] net::Task<std::optional<KeptBody>> handle(http::ServerExchange& exchange, const proxy::Route& route);

private:
    net::Task<void> make(http::ServerExchange& exchange, const ImageTool& tool, const ImageRequest& request, proxy::Dialect dialect);
    net::Task<ToolAnswer> run(const ToolJob& job, const ImageTool& tool, const ImageRequest& request, bool raw, ToolUse& use);
    [[nodiscard]] ToolAnswer say_image(const ImageRequest& request, bool raw, std::string png, base::Duration took);
    [[nodiscard]] proxy::Problem unknown(const std::string& model) const;

    ToolDesk& desk_;
    const MediaOptions& options_;
    std::atomic<std::uint64_t> kept_{0}; ///< bytes of bodies
    std::vector<ImageTool> tools_;
};

} // namespace herd::node
