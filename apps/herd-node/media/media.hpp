#pragma once
// Tools beside the node, run for requests: what makes images, and what writes speech down. docs/MEDIA.md.
#include "herd-node/media/image_maker.hpp"
#include "herd-node/media/transcriber.hpp"

#include <optional>
#include <string>
#include <vector>

namespace herd::node {

/// Thread: the loop's.
class Media {
public:
    /// `path`: where programs are looked for, as $PATH is written.
    Media(net::Loop& loop, net::Network& network, http::Pool& pool, MediaOptions options, std::string_view path, ToolDesk::Mark mark,
          ToolDesk::Taken taken);
    Media(const Media&) = delete;
    Media& operator=(const Media&) = delete;

    /// Rows of the tools for the node's list of models.
    [[nodiscard]] const std::vector<discovery::ModelFacts>& rows() const { return rows_; }
    /// The request may be for a tool; false costs next to nothing.
    [[nodiscard]] bool may_be_for_tool(const proxy::Route& route, const http::RequestHead& head) const;
    /// Answers it; or, when it is for no tool, gives back its body, which was read. Requires: may_be_for_tool().
    [[nodiscard]] net::Task<std::optional<KeptBody>> handle(http::ServerExchange& exchange, const proxy::Route& route);
    /// Ends what runs and what waits.
    void stop() { desk_.stop(); }

private:
    MediaOptions options_;
    ToolDesk desk_;
    ImageMaker images_;
    Transcriber speech_;
    std::vector<discovery::ModelFacts> rows_{};
};

} // namespace herd::node
