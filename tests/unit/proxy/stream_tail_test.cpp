#include "proxy/stream_tail.hpp"
#include "support/catch.hpp"

#include <string>

using namespace herd;
using namespace herd::proxy;
using namespace std::chrono_literals;

namespace {

/// Fed in pieces of every size, the answer must not differ.
StreamTail fed(std::string_view text, std::size_t step = 7)
{
    StreamTail tail;
    for (std::size_t at = 0; at < text.size(); at += step) {
        const std::array piece{text.substr(at, step)};
        tail.feed(piece);
    }
    return tail;
}

TailEnd end_of(std::string_view text, StreamKind kind)
{
    const auto whole = fed(text, 100000).end(kind);
    CHECK(fed(text, 1).end(kind) == whole);
    CHECK(fed(text, 1000).end(kind) == whole);
    StreamTail at_once;
    const std::array all{text};
    at_once.feed_whole(all);
    CHECK(at_once.end(kind) == whole);
    CHECK(at_once.at_event_end(kind) == fed(text, 100000).at_event_end(kind));
    return whole;
}

const std::string line = "{\"model\":\"m\",\"message\":{\"content\":\"hi\"},\"done\":false}\n";
const std::string done = "{\"model\":\"m\",\"done\":true,\"done_reason\":\"stop\",\"total_duration\":500,\"load_duration\":100,"
                         "\"prompt_eval_count\":3,\"prompt_eval_duration\":7,\"eval_count\":2,\"eval_duration\":9}\n";

} // namespace

TEST_CASE("a native stream ends with done, or with an error line, or not at all")
{
    using enum StreamKind;
    CHECK(end_of(line + done, ndjson_done) == TailEnd::proper);
    CHECK(end_of(line, ndjson_done) == TailEnd::open);
    CHECK(end_of("", ndjson_done) == TailEnd::open);
    CHECK(end_of(line + "{\"error\":\"boom\"}\n", ndjson_done) == TailEnd::error);
    CHECK(end_of(line + done.substr(0, 30), ndjson_done) == TailEnd::open);
    CHECK(end_of(done.substr(0, done.size() - 1), ndjson_done) == TailEnd::proper); // no line end, still whole
    CHECK(end_of("{\"message\":{\"tool_calls\":[{\"arguments\":{\"done\":true}}]},\"done\":false}\n", ndjson_done) == TailEnd::open);
    CHECK(end_of("{\"response\":\"\\\"done\\\":true\",\"done\":false}\n", ndjson_done) == TailEnd::open);
    const auto context = "{\"response\":\"\",\"done\":true,\"context\":[" + std::string(5000, '1') + "],\"total_duration\":5}\n";
    CHECK(end_of(context, ndjson_done) == TailEnd::proper); // "done" itself is out of sight, the metrics are not
    const auto thought = "{\"thinking\":\"" + std::string(5000, 't') + "\",\"done\":false}\n";
    CHECK(end_of(thought, ndjson_done) == TailEnd::open);
    CHECK(end_of("{\"status\":\"writing manifest\"}\n{\"status\":\"success\"}\n", ndjson_success) == TailEnd::proper);
    CHECK(end_of("{\"status\":\"success\"}", ndjson_success) == TailEnd::proper);
    CHECK(end_of("{\"status\":\"pulling manifest\"}\n", ndjson_success) == TailEnd::open);
    CHECK(end_of("{\"status\":\"pulling manifest\"}\n{\"error\":\"x\"}\n", ndjson_success) == TailEnd::error);
}

TEST_CASE("event streams end with their own last events")
{
    using enum StreamKind;
    const std::string event = "data: {\"choices\":[]}\n\n";
    CHECK(end_of(event + "data: [DONE]\n\n", sse_done) == TailEnd::proper);
    CHECK(end_of(event, sse_done) == TailEnd::open);
    CHECK(end_of(event + "data: [DONE]", sse_done) == TailEnd::open);
    CHECK(end_of(event + "data: {\"error\":{\"message\":\"x\"}}\n\n", sse_done) == TailEnd::error);
    CHECK(end_of("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", sse_message) == TailEnd::proper);
    CHECK(end_of("event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n", sse_message) == TailEnd::open);
    CHECK(end_of("event: error\ndata: {}\n\n", sse_message) == TailEnd::error);
    const auto big = "event: response.completed\ndata: {\"response\":{\"x\":\"" + std::string(9000, 'y')
                     + "\",\"usage\":{\"input_tokens\":3,\"output_tokens\":2}},\"sequence_number\":9,\"type\":\"response.completed\"}\n\n";
    CHECK(end_of(big, sse_response) == TailEnd::proper);
    CHECK(fed(big).told().timings.output_tokens == 2);
    CHECK(end_of("event: response.failed\ndata: {}\n\n", sse_response) == TailEnd::error);
    CHECK(end_of("event: response.output_text.delta\ndata: {}\n\n", sse_response) == TailEnd::open);
    CHECK(end_of("anything", none) == TailEnd::proper);
}

TEST_CASE("a last event that is longer than what is kept is known by its beginning")
{
    for (const std::string type : {"completed", "incomplete", "failed"}) {
        const auto expected = type == "failed" ? TailEnd::error : TailEnd::proper;
        for (const bool named : {true, false}) {
            const auto text = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n"
                + (named ? "event: response." + type + "\ndata: {\"x\":\"" : "data: {\"type\":\"response." + type + "\",\"x\":\"")
                + std::string(5000, 'y') + "\"}\n\n";
            for (const std::size_t step : {1UL, 7UL, 40UL, 1000UL, 2048UL, 100000UL}) {
                for (const std::string_view after : {"", "data: [DONE]\n\n", ": bye\n\n"}) {
                    CAPTURE(type, named, step, after);
                    StreamTail tail;
                    tail.expect(StreamKind::sse_response);
                    for (std::string_view left = text; !left.empty(); left.remove_prefix(std::min(step, left.size()))) {
                        const std::array piece{left.substr(0, step)};
                        tail.feed(piece);
                    }
                    const std::array last{after};
                    tail.feed(last);
                    CHECK(tail.end(StreamKind::sse_response) == expected);
                }
            }
            StreamTail at_once;
            at_once.expect(StreamKind::sse_response);
            const std::array all{std::string_view(text)};
            at_once.feed_whole(all);
            CHECK(at_once.end(StreamKind::sse_response) == expected);
            StreamTail cut;
            cut.expect(StreamKind::sse_response);
            const std::array most{std::string_view(text).substr(0, text.size() - 9)};
            cut.feed(most);
            CHECK(cut.end(StreamKind::sse_response) == TailEnd::open);
        }
    }
    CHECK(end_of("data: {}\n\ndata: [DONE]\n", StreamKind::sse_done) == TailEnd::proper);
    CHECK(end_of("data: {}\n\ndata: [DONE]\n\n: bye\n\n", StreamKind::sse_done) == TailEnd::proper);
}

TEST_CASE("why an answer ended is told in the node's own word, in every dialect")
{
    CHECK(fed("{\"done\":true,\"done_reason\":\"length\",\"total_duration\":1,\"eval_count\":2}\n").told().done_reason == "length");
    CHECK(fed("data: {\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n").told().done_reason == "tool_calls");
    CHECK(fed("event: message_delta\ndata: {\"delta\":{\"stop_reason\": \"end_turn\",\"stop_sequence\":null}}\n\nevent: message_stop\n\n").told().done_reason == "end_turn");
    CHECK(fed("data: {\"choices\":[{\"finish_reason\":null}]}\n\n").told().done_reason.empty());
    CHECK(fed("{\"response\":\"say \\\"done_reason\\\":\\\"fake\\\"\",\"done\":true}\n").told().done_reason.empty());
    CHECK(fed("{\"done_reason\":\"NOT a plain word\"}").told().done_reason.empty());
    CHECK(fed("{\"done_reason\":\"sto").told().done_reason.empty());
    CHECK(fed("").told().done_reason.empty());
}

TEST_CASE("timings are those the node reported last")
{
    const auto timings = fed(line + done).told().timings;
    CHECK(timings.total == 500ns);
    CHECK(timings.load == 100ns);
    CHECK(timings.prompt_eval == 7ns);
    CHECK(timings.eval == 9ns);
    CHECK(timings.prompt_tokens == 3);
    CHECK(timings.output_tokens == 2);
    const auto openai = fed("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n").told().timings;
    CHECK(openai.prompt_tokens == 3);
    CHECK(openai.output_tokens == 2);
    CHECK(openai.total == 0ns);
    CHECK(fed("{\"response\":\"\\\"eval_count\\\":99\"}").told().timings.output_tokens == 0);
    CHECK(fed("{\"eval_count\":-5}").told().timings.output_tokens == 0);
    CHECK(fed("{\"eval_count\":99999999999999999999999}").told().timings.output_tokens == 0);
    CHECK(fed("").told().timings.total == 0ns);
}

TEST_CASE("only the last two kibibytes are kept, whatever the pieces")
{
    std::string text;
    for (int i = 0; i < 5000; ++i) {
        text += std::to_string(i);
    }
    for (const std::size_t step : {1UL, 3UL, 1000UL, 2047UL, 2048UL, 2049UL, 4096UL, 5000UL, 100000UL}) {
        const auto tail = fed(text, step);
        CHECK(tail.text() == std::string_view(text).substr(text.size() - tail.text().size()));
        CHECK(tail.text().size() == 2048);
        CHECK(tail.bytes() == text.size());
    }
    CHECK(fed("abc").text() == "abc");
    CHECK(fed("a\n").at_event_end(StreamKind::ndjson_done));
    CHECK_FALSE(fed("a").at_event_end(StreamKind::ndjson_done));
    CHECK_FALSE(fed("a\n").at_event_end(StreamKind::sse_done));
    CHECK(fed("a\n\n").at_event_end(StreamKind::sse_done));
    CHECK(fed("").at_event_end(StreamKind::sse_done));
}

TEST_CASE("of the ordinary events of a known stream nothing is kept, and its end is told all the same")
{
    using enum StreamKind;
    const std::string event = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n";
    const auto told = [](StreamKind kind, std::initializer_list<std::string_view> pieces) {
        StreamTail tail;
        tail.expect(kind);
        for (const auto piece : pieces) {
            tail.feed(std::array{piece});
        }
        return tail;
    };
    CHECK(told(ndjson_done, {line, line}).text().size() < 16);
    CHECK(told(ndjson_done, {line, line}).end(ndjson_done) == TailEnd::open);
    CHECK(told(ndjson_done, {line, line}).at_event_end(ndjson_done));
    CHECK(told(ndjson_done, {line, line}).bytes() == 2 * line.size());
    CHECK(told(ndjson_done, {line, done}).end(ndjson_done) == TailEnd::proper);
    CHECK(told(ndjson_done, {line, done}).told().timings.eval == 9ns);
    CHECK(told(ndjson_done, {line, "{\"error\":\"boom\"}\n"}).end(ndjson_done) == TailEnd::error);
    CHECK(told(ndjson_done, {line, std::string_view(line).substr(0, 30)}).end(ndjson_done) == TailEnd::open);
    CHECK_FALSE(told(ndjson_done, {line, std::string_view(line).substr(0, 30)}).at_event_end(ndjson_done));
    CHECK(told(ndjson_done, {"{\"response\":\"\\\"done\\\":false}\\n\",\"done\":true}\n"}).end(ndjson_done) == TailEnd::proper);
    CHECK(told(sse_done, {event, event}).text() == "\n\n");
    CHECK(told(sse_done, {event}).at_event_end(sse_done));
    CHECK(told(sse_done, {event, "data: [DONE]\n\n"}).end(sse_done) == TailEnd::proper);
    CHECK(told(sse_done, {event, "data: {\"error\":{\"message\":\"x\"}}\n\n"}).end(sse_done) == TailEnd::error);
    CHECK(told(sse_done, {event}).end(sse_done) == TailEnd::open);
}

TEST_CASE("a stream without usage is measured by its events")
{
    const auto after = [](std::string_view end) {
        StreamTail tail;
        tail.expect(StreamKind::sse_done);
        const std::string_view token = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n";
        const std::array pieces{token, token, token, end};
        tail.feed(pieces);
        return tail.told().timings.output_tokens;
    };
    CHECK(after("data: [DONE]\n\n") == 3);
    CHECK(after("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n") == 2);
}
