// Answers of an Ollana server, which come without a header (lana.md 12.5, 12.6 B5).
#include "proxy/bare_answer.hpp"

#include "support/catch.hpp"

using namespace herd::proxy;

namespace {

std::string_view type(std::string_view path, bool stream, int status, std::string_view body, std::string_view method = "POST")
{
    return type_of_bare(classify(method, path, {}), stream, status, body);
}

} // namespace

TEST_CASE("ollana B5: the type of an answer without headers is what Ollama would have said")
{
    CHECK(type("/api/chat", true, 200, R"({"model":"m","done":false})") == "application/x-ndjson");
    CHECK(type("/api/generate", false, 200, R"({"model":"m","done":true})") == "application/json; charset=utf-8");
    CHECK(type("/api/pull", true, 200, R"({"status":"pulling"})") == "application/x-ndjson");
    CHECK(type("/api/embed", false, 200, R"({"embeddings":[]})") == "application/json; charset=utf-8");
    CHECK(type("/v1/chat/completions", true, 200, "data: {}\n\n") == "text/event-stream");
    CHECK(type("/v1/messages", true, 200, "event: message_start\ndata: {}\n\n") == "text/event-stream");
    CHECK(type("/v1/chat/completions", true, 200, ": waiting\n\n") == "text/event-stream");
    CHECK(type("/v1/chat/completions", false, 200, R"({"id":"x"})") == "application/json");
    CHECK(type("/api/chat", true, 200, "") .empty());
    CHECK(type("/api/delete", false, 200, "", "DELETE").empty());
}

TEST_CASE("ollana B5: an old Ollama's text 404 and a missing model stay told apart")
{
    CHECK(type("/api/chat", true, 404, R"({"error":"model 'm' not found"})") == "application/json; charset=utf-8");
    CHECK(type("/v1/chat/completions", true, 404, R"({"error":{"message":"x"}})") == "application/json");
    CHECK(type("/v1/responses", true, 404, "404 page not found") == "text/plain; charset=utf-8");
    CHECK(type("/v1/chat/completions", true, 500, "data: no stream") == "text/plain; charset=utf-8");
}

TEST_CASE("a type that is there is left alone")
{
    herd::http::ResponseHead head;
    head.status = 200;
    head.fields.add("Content-Type", "text/html");
    restore_type(head, classify("POST", "/api/chat", {}), true, "{}");
    CHECK(head.fields.find("Content-Type") == "text/html");
    head.fields.set("Content-Type", "application/octet-stream"); // as Ollana 0.6.3 sends everything
    restore_type(head, classify("POST", "/v1/chat/completions", {}), true, "data: {}\n\n");
    CHECK(head.fields.find("Content-Type") == "text/event-stream");
    CHECK(head.fields.count("Content-Type") == 1);
    herd::http::ResponseHead bare;
    bare.status = 200;
    restore_type(bare, classify("POST", "/api/chat", {}), true, "\n {}");
    CHECK(bare.fields.find("Content-Type") == "application/x-ndjson");
}
