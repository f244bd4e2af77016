#pragma once
// Speech, written down by a program or by a service beside the node.
#include "herd-node/media/audio_form.hpp"
#include "herd-node/media/kept_body.hpp"
#include "herd-node/media/tool_desk.hpp"
#include "herd-node/media/tools.hpp"
#include "herd-node/media/transcript.hpp"
#include "http/fetch.hpp"

#include <expected>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace herd::node {

/// Thread: the loop's.
class Transcriber {
public:
    Transcriber(ToolDesk& desk, net::Network& network, http::Pool& pool, const MediaOptions& options);

    /// Of those whose program is not among the missing ones.
    void add_rows(std::vector<discovery::ModelFacts>& rows, const std::set<std::string>& missing) const;
    [[nodiscard]] bool may_be_asked(const proxy::Route& route, const http::RequestHead& head) const;
    /// Answers; or gives back the body of a request that is for no tool. Requires: may_be_asked().
    [[nodiscard]] net::Task<std::optional<KeptBody>> handle(http::ServerExchange& exchange, const proxy::Route& route);

private:
    struct Failure {
        std::string why{};
        std::string printed{};
    };
    using Made = std::expected<Transcript, Failure>;
    net::Task<ToolAnswer> run(const ToolJob& job, const AudioForm& form, KeptBody& body, ToolUse& use);
    net::Task<Made> by_command(const AudioForm& form, ToolUse& use);
    net::Task<Made> by_service(const AudioForm& form, ToolUse& use);
    net::Task<std::expected<std::string, Failure>> ask(const char* method, std::string path, std::string type, std::string body);

    ToolDesk& desk_;
    net::Network& network_;
    http::Pool& pool_;
    const MediaOptions& options_;
    std::atomic<std::uint64_t> kept_{0}; ///< bytes of bodies
    std::string name_{}; ///< "whisper:latest"; empty: there is no tool
    std::string key_{};
};

} // namespace herd::node
