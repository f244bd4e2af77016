#include "proxy/dialect/dialect.hpp"
#include "support/catch.hpp"

#include <sstream>

using namespace herd;
using namespace herd::proxy;

TEST_CASE("the table of errors, as clients see it")
{
    // errc: status code | native body | OpenAI type | Anthropic type
    const std::string golden =
        "refused 502 node_failed api_error api_error\n"
        "reset 502 node_failed api_error api_error\n"
        "closed 502 node_failed api_error api_error\n"
        "timed_out 504 timed_out api_error api_error\n"
        "unreachable 502 node_failed api_error api_error\n"
        "cancelled 499 cancelled api_error api_error\n"
        "in_use 500 internal api_error api_error\n"
        "io 500 internal api_error api_error\n"
        "malformed 400 bad_request invalid_request_error invalid_request_error\n"
        "too_large 413 too_large invalid_request_error invalid_request_error\n"
        "unsupported 415 unsupported invalid_request_error invalid_request_error\n"
        "no_such_model 404 model_not_found not_found_error not_found_error\n"
        "no_node 503 unavailable api_error overloaded_error\n"
        "no_such_label 400 unknown_label invalid_request_error invalid_request_error\n"
        "queue_full 429 busy rate_limit_error rate_limit_error\n"
        "deadline_passed 504 deadline_passed api_error api_error\n"
        "attempts_failed 502 attempts_failed api_error api_error\n"
        "forbidden 403 not_allowed permission_error permission_error\n"
        "not_found 404 not_found not_found_error not_found_error\n"
        "conflict 409 conflict api_error api_error\n"
        "loop 508 loop api_error api_error\n"
        "bad_config 400 bad_request invalid_request_error invalid_request_error\n"
        "internal 500 internal api_error api_error\n";
    std::ostringstream table;
    const auto type_in = [](const std::string& body, std::string_view before) {
        const auto at = body.rfind(before) + before.size();
        return body.substr(at, body.find('"', at) - at);
    };
    for (int i = 0; i <= static_cast<int>(base::Errc::internal); ++i) {
        const auto code = static_cast<base::Errc>(i);
        const auto problem = problem_of(code);
        table << base::to_string(code) << ' ' << problem.status << ' ' << problem.code << ' '
              << type_in(openai::error_text(problem).body, "\"type\":\"") << ' '
              << type_in(anthropic::error_text(problem).body, "\"type\":\"") << '\n';
    }
    CHECK(table.str() == golden);
}

TEST_CASE("error bodies have the shape of their dialect")
{
    const Problem problem{404, "model_not_found", "model 'x\"y' not found"};
    CHECK(error_text(Dialect::ollama, problem).body == R"({"error":"model 'x\"y' not found"})");
    CHECK(error_text(Dialect::ollama, problem).content_type == "application/json; charset=utf-8");
    CHECK(error_text(Dialect::openai, problem).body
          == R"({"error":{"message":"model 'x\"y' not found","type":"not_found_error","param":null,"code":"model_not_found"}})");
    CHECK(error_text(Dialect::anthropic, problem).body
          == R"({"type":"error","error":{"type":"not_found_error","message":"model 'x\"y' not found"}})");
}

TEST_CASE("an unknown model is told in the words of the route")
{
    const auto words = [](std::string_view path, std::string_view model) {
        return model_not_found(classify(path == "/api/delete" ? "DELETE" : "POST", path, ""), model).message;
    };
    CHECK(words("/api/chat", "nope") == "model 'nope' not found");
    CHECK(words("/api/generate", "Nope") == "model 'Nope' not found");
    CHECK(words("/api/embed", "nope") == "model \"nope\" not found, try pulling it first");
    CHECK(words("/api/embeddings", "nope") == "model \"nope\" not found, try pulling it first");
    CHECK(words("/v1/embeddings", "nope") == "model \"nope\" not found, try pulling it first");
    CHECK(words("/api/show", "nope") == "model 'nope:latest' not found");
    CHECK(words("/api/show", "Lib/Nope:Tag") == "model 'Lib/Nope:Tag' not found");
    CHECK(words("/api/delete", "nope") == "model 'nope' not found");
    CHECK(words("/api/copy", "nope") == "model \"nope\" not found");
    CHECK(model_not_found(classify("GET", "/v1/models/foo", ""), "foo").message == "model 'foo:latest' not found");
}

TEST_CASE("refusals of the scheduler")
{
    const auto route = classify("POST", "/api/chat", "");
    using namespace std::chrono_literals;
    auto problem = problem_of(fleet::Refusal{{base::Errc::queue_full}, 2500ms}, route, "m");
    CHECK(problem.status == 429);
    CHECK(retry_after_seconds(problem.retry_after) == 3);
    CHECK(retry_after_seconds(0ms) == 0);
    CHECK(retry_after_seconds(1ns) == 1);
    CHECK(retry_after_seconds(10min) == 60);
    problem = problem_of(fleet::Refusal{{base::Errc::no_such_model}, {}}, route, "m");
    CHECK(problem.message == "model 'm' not found");
    problem = problem_of(fleet::Refusal{{.code = base::Errc::no_such_model, .context = "model 'm' not found: the nodes that have it may not serve it (models_allow)"}, {}}, route, "m");
    CHECK(problem.message == "model 'm' not found: the nodes that have it may not serve it (models_allow)");
    problem = problem_of(fleet::Refusal{{.code = base::Errc::no_node, .context = "nobody serves m"}, {}}, route, "m");
    CHECK(problem.message == "nobody serves m");
    CHECK(retry_after_seconds(problem.retry_after) == 5);
}

TEST_CASE("errors inside streams")
{
    const Problem boom{502, "node_failed", "boom"};
    CHECK(in_band_error(StreamKind::ndjson_done, boom, true) == "{\"error\":\"boom\"}\n");
    CHECK(in_band_error(StreamKind::ndjson_success, boom, false) == "\n{\"error\":\"boom\"}\n");
    CHECK(in_band_error(StreamKind::sse_done, boom, true)
          == "data: {\"error\":{\"message\":\"boom\",\"type\":\"api_error\",\"param\":null,\"code\":\"node_failed\"}}\n\n");
    CHECK(in_band_error(StreamKind::sse_message, boom, false).starts_with("\n\nevent: error\ndata: {\"type\":\"error\""));
    CHECK(in_band_error(StreamKind::none, boom, true).empty());
    const Problem busy{429, "busy", "later"};
    CHECK(in_band_error(StreamKind::sse_done, busy, true).find(R"("type":"rate_limit_error","param":null,"code":"busy")") != std::string::npos);
    CHECK(in_band_error(StreamKind::sse_response, busy, true).find(R"("code":"busy")") != std::string::npos);
    CHECK(in_band_error(StreamKind::sse_message, {503, "unavailable", "x"}, true).find(R"("type":"overloaded_error")") != std::string::npos);
}
