#pragma once
// One blocking request to a program of ours: all that a command-line verb needs. cpp-httplib is seen by
// client.cpp alone and never by anything that serves.
#include "base/error.hpp"
#include "base/time.hpp"
#include "config/backend_url.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace herd::cli {

struct Server {
    config::BackendUrl url{};
    std::string key{}; ///< sent as a bearer token; empty: none
};

struct Answer {
    int status{0};
    std::string body{};
    std::string content_type{};
};

/// `body` is sent as JSON when not empty. An answer with any status is a success here. At most 64 MiB are read.
/// Errors: refused (nobody listens), unreachable, timed_out, reset, too_large; and, with a context that says what to do, forbidden
/// (its certificate is not trusted) and unsupported (no TLS there). Thread: any; blocks.
[[nodiscard]] base::Result<Answer> ask(const Server& server, const std::string& method,
                                       const std::string& path, const std::string& body = {},
                                       base::Duration patience = std::chrono::seconds{30});

/// Reads a stream of events: `take` gets its bytes as they come, until it returns false or the stream ends. The
/// answer's body is only filled when its status is not 200. Errors: as ask(); closed when `take` ended it.
[[nodiscard]] base::Result<Answer> listen(const Server& server, const std::string& path, const std::string& last_event_id,
                                          const std::function<bool(std::string_view bytes)>& take);

/// A request whose answer comes in pieces (a pull): `take` gets the bytes of a 2xx as they come, until it returns false. The
/// answer's body is only filled when its status is another. `node`: sent as X-Herd-Node when not empty; no line breaks.
/// Gives up after ten silent minutes. Errors: as ask(); closed when `take` ended it.
[[nodiscard]] base::Result<Answer> ask_streamed(const Server& server, const std::string& method, const std::string& path, const std::string& body,
                                                const std::string& node, const std::function<bool(std::string_view bytes)>& take);

/// Whether somebody accepts connections there.
[[nodiscard]] bool is_listening(const Server& server);

/// A name as one segment of a path: everything but letters, digits and -._~ becomes %XX.
[[nodiscard]] std::string path_segment(std::string_view text);

} // namespace herd::cli
