#pragma once
// Tools beside the node, run for requests: what makes images, and what writes speech down. docs/MEDIA.md.
#include "herd-node/media/image_maker.hpp"
#include "herd-node/media/transcriber.hpp"

#include "net/timer.hpp"

#include <memory>
#include <optional>
#include <set>
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

    /// From now on: looks now and then for programs that were not there. `on_rows`: rows() says something new.
    void start(net::Callback on_rows);
    /// Rows of the tools for the node's list of models; without those whose program is not there.
    [[nodiscard]] const std::vector<discovery::ModelFacts>& rows() const { return rows_; }
    /// The request may be for a tool; false costs next to nothing.
    [[nodiscard]] bool may_be_for_tool(const proxy::Route& route, const http::RequestHead& head) const;
    /// Answers it; or, when it is for no tool, gives back its body, which was read. Requires: may_be_for_tool().
    [[nodiscard]] net::Task<std::optional<KeptBody>> handle(http::ServerExchange& exchange, const proxy::Route& route);
    /// Ends what runs and what waits.
    void stop();

private:
    void list();
    void look_later();
    void found(std::set<std::string> missing);

    net::Loop& loop_;
    MediaOptions options_;
    ToolDesk desk_;
    ImageMaker images_;
    Transcriber speech_;
    std::string path_;
    std::set<std::string> missing_{}; ///< programs that are not there
    std::vector<discovery::ModelFacts> rows_{};
    net::Timer timer_;
    net::Callback on_rows_{};
    std::shared_ptr<Media*> self_{std::make_shared<Media*>(this)}; ///< for who comes back from the worker: it may be gone
};

} // namespace herd::node
