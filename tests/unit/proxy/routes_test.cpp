#include "proxy/routes.hpp"
#include "support/catch.hpp"

using namespace herd::proxy;

namespace {
Handling handling(std::string_view method, std::string_view path) { return classify(method, path, "").handling; }
} // namespace

TEST_CASE("every route of Ollama has its handling")
{
    using enum Handling;
    struct Row {
        std::string_view method, path;
        Handling handling;
    };
    const Row rows[] = {
        {"GET", "/", root}, {"HEAD", "/", root}, {"GET", "/api/version", version}, {"HEAD", "/api/version", version},
        {"GET", "/api/status", status}, {"GET", "/api/tags", tags}, {"HEAD", "/api/tags", tags}, {"GET", "/api/ps", ps},
        {"POST", "/api/show", show}, {"POST", "/api/generate", inference}, {"POST", "/api/chat", inference},
        {"POST", "/api/embed", inference}, {"POST", "/api/embeddings", inference}, {"POST", "/api/pull", pull},
        {"POST", "/api/push", push}, {"POST", "/api/create", create}, {"HEAD", "/api/blobs/sha256:00", blob},
        {"POST", "/api/blobs/sha256:00", blob}, {"POST", "/api/copy", copy}, {"DELETE", "/api/delete", remove},
        {"POST", "/api/me", account}, {"POST", "/api/signout", account}, {"DELETE", "/api/user/keys/abc", account},
        {"POST", "/api/experimental/web_search", any_node}, {"POST", "/api/experimental/web_fetch", any_node},
        {"GET", "/api/experimental/model-recommendations", any_node}, {"GET", "/v1/models", models},
        {"GET", "/v1/models/tiny", model_lookup}, {"POST", "/v1/chat/completions", inference},
        {"POST", "/v1/completions", inference}, {"POST", "/v1/embeddings", inference}, {"POST", "/v1/responses", inference},
        {"POST", "/v1/messages", inference}, {"POST", "/v1/systemone", inference},
        {"POST", "/v1/audio/transcriptions", inference}, {"POST", "/v1/messages/count_tokens", count_tokens},
        {"POST", "/v1/images/generations", inference}, {"POST", "/api/generate-image", inference},
        {"POST", "/api/transcribe", inference}, {"GET", "/api/image-models", image_models}, {"GET", "/api/nothing", not_found}, {"PUT", "/x", not_found},
        {"GET", "/v1/messages/count_tokens", wrong_method}, {"POST", "/api/blobs/", not_found}};
    for (const auto& row : rows) {
        CAPTURE(row.method, row.path);
        CHECK(handling(row.method, row.path) == row.handling);
    }
}

TEST_CASE("a known path with another method is 405 and says what it allows, as Ollama lists it")
{
    const auto root = classify("OPTIONS", "/", "");
    CHECK(root.handling == Handling::wrong_method);
    CHECK(root.allow == "HEAD, GET");
    CHECK(classify("POST", "/api/tags", "").allow == "HEAD, GET");
    CHECK(classify("HEAD", "/api/ps", "").allow == "GET");
    CHECK(classify("GET", "/api/chat", "").allow == "POST");
    CHECK(classify("GET", "/api/delete", "").allow == "DELETE");
    CHECK(classify("GET", "/api/blobs/x", "").allow == "HEAD, POST");
}

TEST_CASE("doubled and trailing slashes are redirected as Ollama does it")
{
    auto route = classify("GET", "/api/tags/", "");
    CHECK(route.handling == Handling::redirect);
    CHECK(route.redirect_status == 301);
    CHECK(route.location == "/api/tags");
    route = classify("POST", "/api/chat/", "a=b");
    CHECK(route.redirect_status == 307);
    CHECK(route.location == "/api/chat?a=b");
    route = classify("GET", "//api/tags", "");
    CHECK(route.redirect_status == 301);
    CHECK(route.location == "/api/tags");
    CHECK(classify("GET", "/api/../api//./tags", "").location == "/api/tags");
    CHECK(classify("GET", "/v1/models/", "").location == "/v1/models");
    CHECK(handling("GET", "/api/chat/") == Handling::not_found); // wrong method: no redirect
    CHECK(handling("POST", "/api/nothing/") == Handling::not_found);
    CHECK(classify("GET", "//evil.example/api/tags", "").location == "/evil.example/api/tags");
}

TEST_CASE("paths are matched decoded, and broken escapes match nothing")
{
    CHECK(handling("GET", "/api/t%61gs") == Handling::tags);
    CHECK(classify("GET", "/v1/models/a%2Fb", "").parameter == "a/b");
    CHECK(classify("GET", "/v1/models/a/b:c", "").parameter == "a/b:c");
    CHECK(handling("GET", "/api/tags%") == Handling::not_found);
    CHECK(handling("GET", "/api/tags%0a") == Handling::not_found);
    CHECK(handling("GET", "*") == Handling::not_found);
    CHECK(handling("GET", "") == Handling::not_found);
}

TEST_CASE("the dialect is that of the path")
{
    CHECK(dialect_of("/api/chat") == Dialect::ollama);
    CHECK(dialect_of("/v1/chat/completions") == Dialect::openai);
    CHECK(dialect_of("/v1/messages") == Dialect::anthropic);
    CHECK(dialect_of("/v1/messages?beta=true") == Dialect::anthropic);
    CHECK(dialect_of("/v1/messages/count_tokens") == Dialect::anthropic);
    CHECK(dialect_of("/v1/messagesx") == Dialect::openai);
    CHECK(dialect_of("/") == Dialect::ollama);
}

TEST_CASE("only what may begin twice is replayable")
{
    for (const auto* path : {"/api/chat", "/api/generate", "/api/embed", "/api/show", "/v1/messages", "/v1/future"}) {
        CHECK(classify("POST", path, "").replayable);
    }
    for (const auto* path : {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/x", "/api/signout"}) {
        CHECK_FALSE(classify("POST", path, "").replayable);
    }
    CHECK(classify("HEAD", "/api/blobs/x", "").replayable);
}
