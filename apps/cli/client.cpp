#include "cli/client.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <httplib.h>

namespace herd::cli {

namespace {

constexpr std::size_t body_bytes_max = 64 * 1024 * 1024;
constexpr std::chrono::seconds connect_patience{5};

base::Errc errc_of(httplib::Error error)
{
    switch (error) {
    case httplib::Error::Connection: return base::Errc::refused;
    case httplib::Error::ConnectionTimeout: return base::Errc::timed_out;
    case httplib::Error::Canceled: return base::Errc::too_large; // only our own receiver cancels
    case httplib::Error::Read:
    case httplib::Error::Write: return base::Errc::reset;
    default: return base::Errc::io;
    }
}

void prepare(httplib::Client& client, base::Duration patience)
{
    client.set_connection_timeout(connect_patience);
    client.set_read_timeout(std::chrono::duration_cast<std::chrono::microseconds>(patience));
    client.set_write_timeout(std::chrono::duration_cast<std::chrono::microseconds>(patience));
    client.set_keep_alive(false);
    client.set_follow_location(false);
}

std::string origin(const config::BackendUrl& url)
{
    return fmt::format("{}://{}", url.tls ? "https" : "http", url.authority());
}

/// Whether plain HTTP is spoken where TLS was tried. Nothing secret is sent.
bool speaks_plain_http(const Server& server)
{
    config::BackendUrl url = server.url;
    url.tls = false;
    httplib::Client client(origin(url));
    prepare(client, connect_patience);
    return static_cast<bool>(client.Get("/healthz"));
}

/// What became of a request that got no answer.
base::Error no_answer(httplib::Error error, const Server& server)
{
    if (error == httplib::Error::SSLServerVerification) {
        return {.code = base::Errc::forbidden,
                .context = "its certificate is not trusted on this machine, or is for another name: set SSL_CERT_FILE to a file with that certificate "
                           "(one that herd made is tls-cert.pem in its state directory)"};
    }
    if (error == httplib::Error::SSLConnection && speaks_plain_http(server)) {
        return {.code = base::Errc::unsupported, .context = "it does not speak TLS: write http:// in place of https://"};
    }
    return {.code = errc_of(error), .context = fmt::format("{}: {}", server.url.text(), httplib::to_string(error))};
}

/// Sends, and hands the bytes of a good answer to `take` as they come, until it says no. Another answer's body is kept.
base::Result<Answer> receive(httplib::Client& client, httplib::Request& request, const Server& server,
                             const std::function<bool(std::string_view bytes)>& take)
{
    Answer answer;
    bool enough = false;
    request.response_handler = [&answer](const httplib::Response& response) {
        answer.status = response.status;
        answer.content_type = response.get_header_value("Content-Type");
        return true;
    };
    request.content_receiver = [&](const char* data, std::size_t length, std::uint64_t, std::uint64_t) {
        if (answer.status >= 200 && answer.status < 300) {
            enough = !take({data, length});
            return !enough;
        }
        answer.body.append(data, std::min(length, body_bytes_max - answer.body.size()));
        return true;
    };
    const auto result = client.send(request);
    if (!result) {
        return std::unexpected(enough ? base::Error{.code = base::Errc::closed, .context = server.url.text()} : no_answer(result.error(), server));
    }
    answer.status = result->status; // an empty answer calls no receiver
    return answer;
}

} // namespace

base::Result<Answer> ask(const Server& server, const std::string& method, const std::string& path,
                         const std::string& body, base::Duration patience)
{
    httplib::Client client(origin(server.url));
    prepare(client, patience);
    Answer answer;
    httplib::Request request;
    request.method = method;
    request.path = server.url.path + path;
    request.headers.emplace("Accept", "application/json");
    if (!server.key.empty()) {
        request.headers.emplace("Authorization", "Bearer " + server.key);
    }
    if (!body.empty()) {
        request.headers.emplace("Content-Type", "application/json");
        request.body = body; // its length is httplib's business, that of no body too
    }
    request.content_receiver = [&answer](const char* data, std::size_t length, std::uint64_t, std::uint64_t) {
        if (answer.body.size() + length > body_bytes_max) {
            return false;
        }
        answer.body.append(data, length);
        return true;
    };
    const auto result = client.send(request);
    if (!result) {
        return std::unexpected(no_answer(result.error(), server));
    }
    answer.status = result->status;
    answer.content_type = result->get_header_value("Content-Type");
    return answer;
}

base::Result<Answer> listen(const Server& server, const std::string& path, const std::string& last_event_id,
                            const std::function<bool(std::string_view bytes)>& take)
{
    constexpr std::chrono::seconds silence_max{60}; // herd sends a comment every 15 s
    httplib::Client client(origin(server.url));
    prepare(client, silence_max);
    httplib::Request request;
    request.method = "GET";
    request.path = server.url.path + path;
    request.headers.emplace("Accept", "text/event-stream");
    if (!server.key.empty()) {
        request.headers.emplace("Authorization", "Bearer " + server.key);
    }
    if (!last_event_id.empty()) {
        request.headers.emplace("Last-Event-ID", last_event_id);
    }
    return receive(client, request, server, take);
}

base::Result<Answer> ask_streamed(const Server& server, const std::string& method, const std::string& path, const std::string& body,
                                  const std::string& node, const std::function<bool(std::string_view bytes)>& take)
{
    httplib::Client client(origin(server.url));
    prepare(client, std::chrono::minutes{10});
    httplib::Request request;
    request.method = method;
    request.path = server.url.path + path;
    request.headers.emplace("Content-Type", "application/json");
    request.body = body;
    if (!server.key.empty()) {
        request.headers.emplace("Authorization", "Bearer " + server.key);
    }
    if (!node.empty()) {
        request.headers.emplace("X-Herd-Node", node);
    }
    return receive(client, request, server, take);
}

bool is_listening(const Server& server)
{
    const auto answer = ask(server, "GET", "/healthz", {}, std::chrono::seconds{2});
    return answer || answer.error().code != base::Errc::refused;
}

std::string path_segment(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain =
            (byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '.' || c == '_' || c == '~';
        out += plain ? std::string{c} : fmt::format("%{:02X}", byte);
    }
    return out;
}

} // namespace herd::cli
