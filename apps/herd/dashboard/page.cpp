#include "herd/dashboard/page.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::app::dashboard {

namespace {

constexpr std::string_view root = "/dashboard";
constexpr std::string_view files_below = "/dashboard/assets/";
constexpr std::string_view api_below = "/dashboard/api/"; // aliases of Ollama Herd's JSON, not pages

/// Everything comes from this program, nothing is inline, nobody frames it.
constexpr std::string_view policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
                                    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool accepts(const http::RequestHead& head, std::string_view field, std::string_view wanted)
{
    const auto entries = head.fields.list(field);
    return std::ranges::any_of(entries, [&](std::string_view entry) {
        const std::string_view name = entry.substr(0, entry.find(';'));
        const bool refused = entry.ends_with(";q=0") || entry.ends_with("; q=0");
        return !refused && base::iequals(base::trim(name), wanted);
    });
}

void add_common(http::ResponseHead& head, std::string_view type)
{
    head.fields.add("Content-Type", type);
    head.fields.add("X-Content-Type-Options", "nosniff");
    head.fields.add("Referrer-Policy", "no-referrer");
    head.fields.add("Content-Security-Policy", policy);
}

Answer sentence(int status, std::string_view text)
{
    Answer made;
    made.head.status = status;
    add_common(made.head, "text/plain; charset=utf-8");
    made.head.fields.add("Cache-Control", "no-store");
    made.body = text;
    return made;
}

} // namespace

bool owns(const http::RequestHead& head)
{
    const std::string_view path = head.path();
    if (path == "/") {
        const bool reads = head.method == "GET" || head.method == "HEAD";
        return reads && !assets().empty() && accepts(head, "Accept", "text/html");
    }
    return path == root || (path.starts_with("/dashboard/") && !path.starts_with(api_below));
}

Answer answer(const http::RequestHead& head, std::span<const Asset> files, std::string_view absence)
{
    if (head.method != "GET" && head.method != "HEAD") {
        Answer made = sentence(405, "use GET\n");
        made.head.fields.add("Allow", "GET, HEAD");
        return made;
    }
    if (files.empty()) {
        return sentence(404, absence);
    }
    const bool is_file = head.path().starts_with(files_below);
    const auto found = std::ranges::find(files, is_file ? head.path() : root, &Asset::path);
    if (found == files.end()) {
        return sentence(404, "no such file; reload the page\n");
    }
    const bool zipped = !found->gzip.empty() && accepts(head, "Accept-Encoding", "gzip");
    const std::string etag = '"' + std::string{found->hash} + (zipped ? "-gz\"" : "\"");
    Answer made;
    add_common(made.head, found->type);
    made.head.fields.add("ETag", etag);
    // The names of the files carry their hash; the page names the files, so it is asked for each time.
    made.head.fields.add("Cache-Control", is_file ? "public, max-age=31536000, immutable" : "no-cache");
    made.head.fields.add("Vary", head.path() == "/" ? "Accept, Accept-Encoding" : "Accept-Encoding");
    const auto known = head.fields.list("If-None-Match");
    const bool unchanged = std::ranges::any_of(known, [&](std::string_view tag) {
        return tag == "*" || tag == etag || (tag.starts_with("W/") && tag.substr(2) == etag);
    });
    if (unchanged) {
        made.head.status = 304;
        return made;
    }
    if (zipped) {
        made.head.fields.add("Content-Encoding", "gzip");
    }
    made.body = zipped ? found->gzip : found->plain;
    return made;
}

net::Task<void> serve(http::ServerExchange& exchange)
{
    Answer made = answer(exchange.head(), assets(), absence());
    (void)co_await exchange.respond(std::move(made.head), made.body); // a client that left needs no answer
}

} // namespace herd::app::dashboard
