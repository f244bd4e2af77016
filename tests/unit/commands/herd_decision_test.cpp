// `herd route` and `herd why` on recorded answers.
#include "herd/cli/print_decision.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;

namespace {

constexpr std::string_view decision_body =
    R"({"model":"llama3.2:3b","chosen":"studio","chosen_id":"x","predicted_s":5.25,"prompt_tokens":1200.0,"output_tokens":256.0,
 "ahead":2,"left_out":3,"candidates":[
 {"node":"studio","eligible":true,"cost":{"wait_s":1.0,"load_s":0.0,"prefill_s":0.25,"decode_s":4.0,"risk_s":0.0,"total_s":5.25},
  "loaded":true,"same_class":true,"free_slots":1,"slots":2,"cached_tokens":1000.0,"decode_tokens_per_s":64.2},
 {"node":"attic","eligible":true,"cost":{"wait_s":0.0,"load_s":12.5,"prefill_s":2.0,"decode_s":200.0,"risk_s":0.5,"total_s":215.0},
  "loaded":false,"same_class":false,"free_slots":1,"slots":1,"cached_tokens":0.0,"decode_tokens_per_s":8},
 {"node":"pi\u001b[31m","eligible":false,"reason":"cannot_fit","cost":{"total_s":null},"loaded":false}]})";

template <class Print>
std::string printed(Print&& print)
{
    std::ostringstream out;
    std::ostringstream err;
    CHECK(print(cli::Terminal{out, err, false}).has_value());
    return out.str();
}

} // namespace

TEST_CASE("herd route shows every node with its seconds, and why the others are out")
{
    CHECK(printed([](const auto& t) { return app::print_decision(decision_body, t); })
          == "llama3.2:3b runs on studio, done in about 5.2 s\n"
             "about 1200 tokens to read, 256 to write; 2 requests ahead of it\n"
             "\n"
             "NODE     TOTAL  WAIT   LOAD    PREFILL  DECODE  RISK    FREE SLOTS  SPEED     REMARKS\n"
             "studio   5.2 s  1.0 s          250 ms   4.0 s           1 of 2      64 tok/s  in memory, 1000 tokens cached\n"
             "attic    3 min         12.5 s  2.0 s    3 min   500 ms  1 of 1      8 tok/s   cold\n"
             "pi?[31m                                                                       the model does not fit in its memory\n"
             "and 3 more\n");
}

TEST_CASE("herd route shows the seven familiar signals, however many nodes there are, in 80 columns")
{
    const auto node = [](const std::string& name, const std::string& context) {
        return R"({"node":")" + name
            + R"(","eligible":true,"cost":{},"signals":{"thermal":{"s":0.0,"says":"hot"},)"
            + R"("memory_fit":{"s":0.0,"says":"in memory already"},"queue_depth":{"s":0.0,"says":"1 of 1 slots free"},)"
            + R"("wait_time":{"s":0.1,"says":"reads 5500 tokens/s"},"role_affinity":{"s":1.0,"says":"writes 150 tokens/s"},)"
            + R"("availability_trend":{"s":0.0,"says":"steady"},"context_fit":{"s":0.0,"says":")" + context
            + R"("}}})";
    };
    const auto body = R"({"model":"m","chosen":"a","candidates":[)" + node("a", "loaded with these options")
        + "," + node("b", "loaded with these options") + ","
        + node("c", "loaded with these options") + "," + node("d", "loaded with other options: a reload")
        + R"(,{"node":"e","eligible":false,"reason":"offline","signals":{}}]})";
    const auto text = printed([&](const auto& t) { return app::print_decision(body, t); });
    CHECK(text.find("\n\n"
                    "SIGNAL              a                  b                  c\n"
                    "thermal state       hot                hot                hot\n"
                    "memory fit          in memory already  in memory already  in memory already\n"
                    "queue depth         1 of 1 slots free  1 of 1 slots free  1 of 1 slots free\n"
                    "latency history     reads 5500 tok/s   reads 5500 tok/s   reads 5500 tok/s\n"
                    "role affinity       writes 150 tok/s   writes 150 tok/s   writes 150 tok/s\n"
                    "availability trend  steady             steady             steady\n"
                    "context fit         these options      these options      these options\n"
                    "\n"
                    "SIGNAL              d\n"
                    "thermal state       hot\n")
          != std::string::npos);
    CHECK(text.ends_with("context fit         other options: a reload\n"));
    const auto signals = text.substr(text.find("SIGNAL"));
    for (std::size_t at = 0; at < signals.size();) {
        const auto end = signals.find('\n', at);
        CHECK(end - at <= 80);
        at = end + 1;
    }
    CHECK(text.find("SIGNAL              e") == std::string::npos); // why it is out stands above
}

TEST_CASE("herd route says of healthy nodes that everything is sent to another one")
{
    constexpr std::string_view body = R"x({"model":"m","chosen":null,"note":"would be held","sent":"everything is sent to box1 (`herd use`)",
        "candidates":[{"node":"box2","eligible":false,"reason":"sent_elsewhere"},{"node":"box3","eligible":false,"reason":"not_member"}]})x";
    const auto text = printed([&](const auto& t) { return app::print_decision(body, t); });
    CHECK(text.find("everything is sent to box1 (`herd use`)") != std::string::npos);
    CHECK(text.find("is not one of the frontend's nodes") != std::string::npos);
}

TEST_CASE("herd route says in words what a node lacks for such a request")
{
    for (const auto& [reason, words] : {std::pair{"other_api", "has OpenAI's paths (/v1/…) only"}, {"cloud", "is in the cloud, where this request may not go"},
                                        {"other_tier", "another tier is preferred"}, {"model_not_allowed", "may not serve this model"}}) {
        const auto body = std::string{R"({"model":"m","chosen":null,"candidates":[{"node":"box","eligible":false,"reason":")"} + reason + R"("}]})";
        CHECK(printed([&](const auto& t) { return app::print_decision(body, t); }).find(words) != std::string::npos);
    }
}

TEST_CASE("herd route names the model that a fallback takes the place of")
{
    const std::string_view body =
        R"({"model":"small","chosen":"studio","requested_model":"big","fallback":true,"candidates":[]})";
    CHECK(printed([&](const auto& t) { return app::print_decision(body, t); })
          == "small runs on studio in place of big\n");
}

TEST_CASE("when nobody can take it the note is the answer")
{
    const std::string_view body = R"({"model":"m","chosen":null,"note":"every node that has it is offline","candidates":[]})";
    CHECK(printed([&](const auto& t) { return app::print_decision(body, t); })
          == "m: every node that has it is offline\n");
    CHECK(printed([](const auto& t) { return app::print_decision("{}", t); }) == ": nobody can take it\n");
}

TEST_CASE("herd why tells what became of a request, and then the decision")
{
    const std::string body = R"({"id":"abc","path":"/api/chat","model":"small:latest","requested_model":"big","fallback":true,"node":"studio",
 "status":200,"total_ms":5200,"queue_ms":1000,"ttft_ms":1250,"prompt_tokens":1200,"cached_tokens":1000,"output_tokens":256,"tokens_per_s":64.2,
 "attempts":[{"node":"attic","outcome":"refused","ms":3},{"node":"studio","outcome":"served","ms":4200}],"decision":)"
                             + std::string(decision_body) + "}";
    const auto text = printed([&](const auto& t) { return app::print_record(body, t); });
    CHECK(text.starts_with("abc /api/chat: answered 200 by studio after 5.2 s\n"
                           "  small:latest in place of big\n"
                           "  waited 1.0 s, first byte after 1.2 s, read 1200 tokens, of them cached 1000, wrote 256 tokens, at 64.2 tok/s\n"
                           "  tried attic: refused after 3 ms\n"
                           "  tried studio: served after 4.2 s\n"
                           "\n"
                           "llama3.2:3b runs on studio"));
    CHECK(printed([](const auto& t) { return app::print_record(R"({"id":"x","path":"/","status":0,"error":"gone"})", t); })
          == "x /: not answered\n  gone\n");
}

TEST_CASE("the question is the body with the model in it")
{
    CHECK(app::question_json("", "m") == R"({"model":"m"})");
    CHECK(app::question_json(R"({"model":"other","prompt":"x"})", "m") == R"({"model":"m","prompt":"x"})");
    CHECK_FALSE(app::question_json("[]", "m"));
    CHECK_FALSE(app::question_json("{", "m"));
}
