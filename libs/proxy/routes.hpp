#pragma once
// Which handling a request line gets: Ollama's whole surface as one table, answered as Ollama's own router
// answers (404, 405 with Allow, redirects of doubled and trailing slashes). Pure.
// Source: reference/ollama-api.md 1.0, 2.1, 2.3; reference/ollama-probe.txt part 1.
#include "fleet/tool.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace herd::proxy {

/// Whose shapes an answer of ours must have.
enum class Dialect : std::uint8_t { ollama, openai, anthropic };
[[nodiscard]] std::string_view to_string(Dialect dialect);

/// What ends a good stream of a route (ollama-api.md 1.5).
enum class StreamKind : std::uint8_t {
    none,         ///< not known, or not a stream: HTTP's own end is all there is
    ndjson_done,  ///< a line with "done":true
    ndjson_success, ///< a line {"status":"success"}
    sse_done,     ///< data: [DONE]
    sse_response, ///< response.completed, .failed or .incomplete
    sse_message,  ///< message_stop
    ndjson_other, ///< lines of a route that herd does not know: HTTP's own end is theirs
    sse_other,    ///< events of such a route
};

enum class Handling : std::uint8_t {
    root,         ///< "Ollama is running"
    version,      ///< lowest of the nodes
    status,       ///< of all nodes
    tags,         ///< union
    ps,           ///< union, live
    models,       ///< union, OpenAI's form
    image_models, ///< the tools and models that make images
    model_lookup, ///< one row of it; Route::parameter is the name
    inference,    ///< one best node; generate and chat may turn out to be an unload
    show,         ///< any node that has the model
    push,         ///< a node that has the model
    pull,         ///< one chosen node
    create,       ///< the build node
    blob,         ///< the build node; Route::parameter is the digest
    copy,         ///< every node that has the source
    remove,       ///< every node that has the model
    account,      ///< the identity of a node: the one asked for, else the build node
    any_node,     ///< whoever is there
    count_tokens, ///< answered by herd, with the scheduler's estimate
    unknown_post, ///< inference when the body names a model, else not found
    not_found,
    wrong_method, ///< 405 with Route::allow
    redirect,     ///< to Route::location with Route::redirect_status
};

struct Route {
    Handling handling{Handling::not_found};
    Dialect dialect{Dialect::ollama};
    StreamKind stream{StreamKind::none};
    bool embedding{false};    ///< embedding paths word their 404 differently
    bool replayable{false};   ///< may be sent again, to another node, as long as the client has seen nothing
    bool streams_by_default{false}; ///< without "stream" in the body
    bool multipart{false};    ///< the model is a form field
    fleet::Tool tool{fleet::Tool::none}; ///< what it asks for may be done by a tool beside a node
    bool tools_only{false};   ///< and by nobody else: Ollama does not know the route
    std::string_view pattern{}; ///< the path as the table has it, for memory and metrics; empty when unknown
    std::string_view allow{};
    int redirect_status{0};
    std::string location{};
    std::string parameter{};
};

/// `path` without query, percent-encoded as received; `query` without '?'.
[[nodiscard]] Route classify(std::string_view method, std::string_view path, std::string_view query);

[[nodiscard]] Dialect dialect_of(std::string_view path);

/// The table, one row per method and path: for tests that must miss none of them.
[[nodiscard]] std::vector<std::pair<std::string_view, std::string_view>> route_list();

} // namespace herd::proxy
