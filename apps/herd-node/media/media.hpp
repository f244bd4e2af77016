#pragma once
// Tools beside the node, run for requests: what makes images. docs/MEDIA.md. A tool is a program that is started for one
// request and killed when its client leaves, when its time is over and when we end.
#include "herd-node/media/tool_line.hpp"
#include "herd-node/media/tools.hpp"
#include "proxy/problem.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::net {
class Blocking;
}

namespace herd::node {

/// Thread: the loop's.
class Media {
public:
    /// What each answer gets, such as fields for browsers.
    using Mark = std::function<void(const http::RequestHead&, http::Fields&)>;
    /// `path`: where programs are looked for, as $PATH is written.
    Media(net::Loop& loop, MediaOptions options, std::string_view path, Mark mark);
    Media(const Media&) = delete;
    Media& operator=(const Media&) = delete;
    ~Media();

    /// Rows of the tools for the node's list of models.
    [[nodiscard]] const std::vector<discovery::ModelFacts>& rows() const { return rows_; }
    /// The request may be for a tool; false costs next to nothing.
    [[nodiscard]] bool may_be_for_tool(const proxy::Route& route, const http::RequestHead& head) const;
    /// Answers it; or, when it is for no tool, gives back its body, which was read. Requires: may_be_for_tool().
    [[nodiscard]] net::Task<std::optional<std::string>> handle(http::ServerExchange& exchange, const proxy::Route& route);
    /// Ends what runs and what waits.
    void stop();

private:
    net::Task<void> make_image(http::ServerExchange& exchange, const ImageTool& tool, ImageRequest request, proxy::Dialect dialect);
    net::Task<void> run_image(http::ServerExchange& exchange, const ImageTool& tool, const ImageRequest& request, proxy::Dialect dialect,
                              ToolUse& use);
    net::Task<void> say_image(http::ServerExchange& exchange, const ImageRequest& request, proxy::Dialect dialect, std::string png,
                              base::Duration took);
    net::Task<void> say_over(http::ServerExchange& exchange, const ToolUse& use, const std::string& name, proxy::Dialect dialect);
    net::Task<void> say(http::ServerExchange& exchange, http::ResponseHead head, std::string_view body);
    net::Task<void> refuse(http::ServerExchange& exchange, proxy::Dialect dialect, proxy::Problem problem, http::Fields fields = {});
    [[nodiscard]] proxy::Problem unknown(const std::string& model) const;
    net::Blocking& worker();

    net::Loop& loop_;
    MediaOptions options_;
    Mark mark_;
    std::vector<ImageTool> images_;
    std::vector<discovery::ModelFacts> rows_{};
    std::map<std::string, ToolLine> lines_{}; ///< by ImageTool::key
    std::unique_ptr<net::Blocking> worker_;   ///< made when first needed
    bool stopping_{false};
};

} // namespace herd::node
