#include "herd/dashboard/page.hpp"

#include "support/catch.hpp"

#include <array>

using namespace herd;
using namespace herd::app;
using dashboard::Asset;

namespace {

const std::array<Asset, 2> files{
    Asset{"/dashboard/assets/app-1234.js", "text/javascript; charset=utf-8", "1234", "let plain", "zipped"},
    Asset{"/dashboard", "text/html; charset=utf-8", "abcd", "<!doctype html>", ""}};

http::RequestHead get(std::string target, std::vector<std::pair<std::string, std::string>> fields = {})
{
    http::RequestHead head;
    head.target = std::move(target);
    for (const auto& [name, value] : fields) {
        head.fields.add(name, value);
    }
    return head;
}

dashboard::Answer ask(const http::RequestHead& head) { return dashboard::answer(head, files, ""); }

} // namespace

TEST_CASE("views below /dashboard get the page, aliases of other systems' JSON do not")
{
    CHECK(dashboard::owns(get("/dashboard")));
    CHECK(dashboard::owns(get("/dashboard/requests/abc?x=1")));
    CHECK_FALSE(dashboard::owns(get("/dashboard/api/health")));
    CHECK_FALSE(dashboard::owns(get("/dashboards")));
    CHECK_FALSE(dashboard::owns(get("/api/tags", {{"Accept", "text/html"}})));
    for (const auto* target : {"/dashboard", "/dashboard/requests/abc", "/", "/dashboard/explorer?model=x"}) {
        const auto answer = ask(get(target));
        CHECK(answer.head.status == 200);
        CHECK(answer.body == "<!doctype html>");
        CHECK(answer.head.fields.find("Cache-Control") == "no-cache");
    }
}

TEST_CASE("the root stays Ollama's for everyone but browsers")
{
    CHECK_FALSE(dashboard::owns(get("/")));
    CHECK_FALSE(dashboard::owns(get("/", {{"Accept", "*/*"}})));
    CHECK_FALSE(dashboard::owns(get("/", {{"Accept", "application/json"}})));
    CHECK_FALSE(dashboard::owns(get("/", {{"Accept", "text/html;q=0"}})));
    const bool there = !dashboard::assets().empty();
    CHECK(dashboard::owns(get("/", {{"Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}})) == there);
    auto post = get("/", {{"Accept", "text/html"}});
    post.method = "POST";
    CHECK_FALSE(dashboard::owns(post));
}

TEST_CASE("files are compressed for those who take it and kept for ever, being named for their bytes")
{
    const auto zipped = ask(get("/dashboard/assets/app-1234.js", {{"Accept-Encoding", "br, gzip"}}));
    CHECK(zipped.body == "zipped");
    CHECK(zipped.head.fields.find("Content-Encoding") == "gzip");
    CHECK(zipped.head.fields.find("ETag") == "\"1234-gz\"");
    CHECK(zipped.head.fields.find("Cache-Control") == "public, max-age=31536000, immutable");
    CHECK(zipped.head.fields.find("Vary") == "Accept-Encoding");
    const auto plain = ask(get("/dashboard/assets/app-1234.js", {{"Accept-Encoding", "gzip;q=0"}}));
    CHECK(plain.body == "let plain");
    CHECK_FALSE(plain.head.fields.find("Content-Encoding"));
    CHECK(ask(get("/dashboard/assets/app-0000.js")).head.status == 404);
}

TEST_CASE("an unchanged file is not sent again")
{
    const auto same = ask(get("/dashboard/assets/app-1234.js", {{"Accept-Encoding", "gzip"}, {"If-None-Match", "\"x\", W/\"1234-gz\""}}));
    CHECK(same.head.status == 304);
    CHECK(same.body.empty());
    CHECK(ask(get("/dashboard", {{"If-None-Match", "\"old\""}})).head.status == 200);
}

TEST_CASE("the page may load nothing from elsewhere and nobody may frame it")
{
    const auto answer = ask(get("/dashboard"));
    const auto policy = answer.head.fields.find("Content-Security-Policy").value_or("");
    CHECK(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
    CHECK(policy.find("frame-ancestors 'none'") != std::string_view::npos);
    CHECK(policy.find("unsafe") == std::string_view::npos);
    CHECK(answer.head.fields.find("X-Content-Type-Options") == "nosniff");
}

TEST_CASE("only reading, and a build without files says why")
{
    auto post = get("/dashboard");
    post.method = "POST";
    CHECK(ask(post).head.status == 405);
    CHECK(ask(post).head.fields.find("Allow") == "GET, HEAD");
    const auto none = dashboard::answer(get("/dashboard"), {}, "This build of herd has no dashboard.\n");
    CHECK(none.head.status == 404);
    CHECK(none.body == "This build of herd has no dashboard.\n");
    CHECK(dashboard::absence().empty() == !dashboard::assets().empty());
}

TEST_CASE("the embedded files name one another")
{
    const auto files_here = dashboard::assets();
    if (files_here.empty()) {
        return;
    }
    const Asset& page = files_here.back();
    CHECK(page.path == "/dashboard");
    std::size_t total = 0;
    for (const Asset& file : files_here) {
        total += file.plain.size();
        CHECK((file.path == "/dashboard" || page.plain.find(file.path) != std::string_view::npos));
        CHECK((file.gzip.empty() || file.gzip.starts_with("\x1f\x8b")));
    }
    CHECK(total < 300 * 1024);
    CHECK(page.plain.find("://") == std::string_view::npos);
}
