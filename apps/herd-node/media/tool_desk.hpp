#pragma once
// Where requests for tools are served: one at a time per tool, ended when the client leaves, when its time is over and when
// the program ends; and how they are answered.
#include "herd-node/media/tool_line.hpp"
#include "proxy/problem.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace herd::net {
class Blocking;
}

namespace herd::node {

/// One request for a tool.
struct ToolJob {
    std::string key{};  ///< of the tool
    std::string name{}; ///< for people
    std::string what{}; ///< "image": what was not made when its time is over
    proxy::Dialect dialect{proxy::Dialect::ollama};
    base::Duration timeout{}; ///< the wait for the tool included
};

/// What the client is told.
struct ToolAnswer {
    http::ResponseHead head{};
    std::string body{};
};

/// Thread: the loop's.
class ToolDesk {
public:
    /// What each answer gets, such as fields for browsers.
    using Mark = std::function<void(const http::RequestHead&, http::Fields&)>;
    /// The node's Ollama has a model of that key: then no tool of its own has the name.
    using Taken = std::function<bool(std::string_view key)>;
    /// Does the work. What it says counts for nothing once use.over().
    using Work = std::function<net::Task<ToolAnswer>(ToolUse& use)>;
    ToolDesk(net::Loop& loop, Mark mark, Taken taken);
    ToolDesk(const ToolDesk&) = delete;
    ToolDesk& operator=(const ToolDesk&) = delete;
    ~ToolDesk();

    [[nodiscard]] bool is_taken(std::string_view key) const { return taken_(key); }
    /// One more would not be let in.
    [[nodiscard]] bool is_full(const std::string& key) const;
    /// The tool is free before the answer is written: who reads slowly keeps nobody from it.
    /// Requires: the request's body was read whole. `work` outlives the call.
    [[nodiscard]] net::Task<void> serve(http::ServerExchange& exchange, const ToolJob& job, const Work& work);
    /// Runs a program for `use`; nothing but the words of it when it cannot be started.
    [[nodiscard]] net::Task<base::Result<net::ChildEnd>> run(ToolUse& use, net::ChildOptions options);

    net::Task<void> refuse(http::ServerExchange& exchange, proxy::Dialect dialect, proxy::Problem problem);
    /// What was sent could not be read.
    net::Task<void> refuse_unread(http::ServerExchange& exchange, proxy::Dialect dialect, const base::Error& error);
    /// 502: the tool is to blame. `printed`: what it wrote to standard error, the last line of which is told.
    [[nodiscard]] static ToolAnswer failed(const ToolJob& job, std::string why, std::string_view printed);

    [[nodiscard]] net::Loop& loop() { return loop_; }
    [[nodiscard]] net::Blocking& worker(); ///< for files; made when first needed
    /// Ends what runs and what waits.
    void stop();

private:
    net::Task<std::optional<ToolAnswer>> answer_of(http::ServerExchange& exchange, const ToolJob& job, const Work& work);
    net::Task<void> say(http::ServerExchange& exchange, ToolAnswer answer);

    net::Loop& loop_;
    Mark mark_;
    Taken taken_;
    std::map<std::string, ToolLine> lines_{}; ///< by ToolJob::key
    std::unique_ptr<net::Blocking> worker_;
    std::atomic<std::uint64_t> unread_{0}; ///< bytes of answers that are being written
    bool stopping_{false};
};

} // namespace herd::node
