// When the beginnings of two prompts are alike: across APIs, across spellings, and turn by turn.
#include "proxy/body_peek.hpp"
#include "proxy/profile.hpp"
#include "proxy/prompt_reader.hpp"
#include "support/catch.hpp"

#include <numeric>

using namespace herd;
using namespace herd::proxy;

namespace {

std::vector<std::uint64_t> chain_of(std::string_view body)
{
    std::vector<std::uint64_t> out;
    const auto peek = peek_json(body);
    CHECK_FALSE(peek.broken);
    if (peek.prompt) {
        for (const auto& block : *peek.prompt) {
            out.push_back(block.chain);
        }
    }
    return out;
}

std::size_t common(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b)
{
    std::size_t n = 0;
    while (n < std::min(a.size(), b.size()) && a[n] == b[n]) {
        ++n;
    }
    return n;
}

std::size_t bytes_of(const fleet::PromptChain& chain)
{
    return std::accumulate(chain->begin(), chain->end(), std::size_t{0},
                           [](std::size_t sum, const fleet::PromptBlock& block) { return sum + block.bytes; });
}

std::string message(std::string_view role, std::string_view content)
{
    return std::string(R"({"role":")").append(role).append(R"(","content":")").append(content).append("\"}");
}

} // namespace

TEST_CASE("the same conversation has the same chain in every API")
{
    const auto native = chain_of(R"({"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hi é\n"}]})");
    REQUIRE(native.size() == 2);
    const std::string_view others[] = {
        // OpenAI with parts, other order of members, escapes written out, white space
        R"({ "messages" : [ {"content":"be\u0020kind","role":"system"},
             {"role":"user","content":[{"type":"text","text":"hi \u00e9\u000a"}]} ], "model":"m" })",
        // Anthropic: the system prompt beside the messages, behind them, in parts
        R"({"messages":[{"role":"user","content":"hi é\n"}],"system":[{"type":"text","text":"be kind","cache_control":{"type":"ephemeral"}}],"max_tokens":5})",
        R"({"system":"be kind","messages":[{"role":"user","content":"hi é\n"}]})",
        R"({"system":"be kind","prompt":"hi é\n"})",
        R"({"prompt":"hi é\n","system":"be kind"})",
        R"({"instructions":"be kind","input":"hi é\n"})",
        R"({"input":[{"role":"user","content":[{"type":"input_text","text":"hi é\n"}]}],"instructions":"be kind"})",
        R"({"messages":[{"role":"developer","content":"be kind"},{"role":"user","content":"hi é\n"}]})",
        R"({"messages":[{"role":"user","content":"old"}],"messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hi é\n"}]})",
    };
    for (const auto other : others) {
        CAPTURE(other);
        CHECK(chain_of(other) == native);
    }
}

TEST_CASE("a different word, role or order makes a different chain from there on")
{
    const auto of = [](const std::string& messages) { return chain_of(R"({"messages":[)" + messages + "]}"); };
    const auto base = of(message("system", "s") + "," + message("user", "a") + "," + message("assistant", "b"));
    REQUIRE(base.size() == 3);
    CHECK(common(base, of(message("system", "s") + "," + message("user", "a") + "," + message("assistant", "b") + ","
                          + message("user", "c"))) == 3);
    CHECK(common(base, of(message("system", "s") + "," + message("user", "x") + "," + message("assistant", "b"))) == 1);
    CHECK(common(base, of(message("system", "s") + "," + message("assistant", "a") + "," + message("user", "b"))) == 1);
    CHECK(common(base, of(message("system", "t") + "," + message("user", "a") + "," + message("assistant", "b"))) == 0);
    CHECK(common(base, of(message("user", "a") + "," + message("assistant", "b"))) == 0);
}

TEST_CASE("tools stand before everything, with their names, structure and values")
{
    const std::string tail = R"("messages":[{"role":"user","content":"a"}]})";
    const auto with = chain_of(R"({"tools":[{"type":"function","function":{"name":"f","parameters":{"x":1}}}],)" + tail);
    CHECK(with.size() == 2);
    CHECK(chain_of(R"({"messages":[{"role":"user","content":"a"}], "tools" : [ {"type":"function","function":{"name":"f","parameters":{"x": 1}}}]})") == with);
    CHECK(common(with, chain_of(R"({"tools":[{"type":"function","function":{"name":"f","parameters":{"x":2}}}],)" + tail)) == 0);
    CHECK(common(with, chain_of(R"({"tools":[{"type":"function","function":{"name":"g","parameters":{"x":1}}}],)" + tail)) == 0);
    CHECK(common(with, chain_of("{" + tail)) == 0);
    CHECK(chain_of(R"({"tools":null,)" + tail) == chain_of("{" + tail));
}

TEST_CASE("a conversation that grows keeps the blocks it had")
{
    std::string messages = message("system", std::string(3000, 's'));
    std::vector<std::uint64_t> before;
    for (int turn = 0; turn < 40; ++turn) {
        messages += "," + message("user", "question " + std::to_string(turn) + std::string(700, 'q'));
        messages += "," + message("assistant", std::string(900, 'a') + std::to_string(turn));
        const auto now = chain_of(R"({"messages":[)" + messages + "]}");
        CHECK(common(before, now) == before.size());
        CHECK(now.size() > before.size());
        before = now;
    }
}

TEST_CASE("however long the prompt, the chain is bounded and has all of its bytes")
{
    std::string many;
    for (int i = 0; i < 20'000; ++i) {
        many += (many.empty() ? "" : ",") + message("user", "short one " + std::to_string(i));
    }
    const auto peek = peek_json(R"({"messages":[)" + many + "]}");
    REQUIRE(peek.prompt);
    CHECK(peek.prompt->size() <= PromptReader::blocks_max);
    CHECK(peek.prompt->size() > 500);
    CHECK(bytes_of(peek.prompt) == peek.prompt_bytes);
    const auto grown = chain_of(R"({"messages":[)" + many + "," + message("user", "more") + "]}");
    CHECK(common(chain_of(R"({"messages":[)" + many + "]}"), grown) >= peek.prompt->size() - 1);

    const auto huge = peek_json(R"({"prompt":")" + std::string(20'000'000, 'x') + "\",\"system\":\"s\"}");
    REQUIRE(huge.prompt);
    CHECK(huge.prompt->size() <= PromptReader::blocks_max);
    CHECK(huge.prompt_bytes == 20'000'001);
    CHECK(bytes_of(huge.prompt) == huge.prompt_bytes);
    std::string again = "{";
    for (int i = 0; i < 3000; ++i) {
        again += R"("prompt":"aaaaaaaaa","tools":[1,2,3],)";
    }
    CHECK(peek_json(again + R"("model":"m"})").prompt_bytes <= 100);
}

TEST_CASE("images are counted and told apart, not measured as text")
{
    const std::string data(400, 'A');
    const auto native = peek_json(R"({"messages":[{"role":"user","content":"see","images":[")" + data + R"(","BBBB"]}]})");
    CHECK(native.images == 2);
    CHECK(native.prompt_bytes == 3);
    const auto openai = peek_json(R"({"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,)" + data + R"("}}]}]})");
    CHECK(openai.images == 1);
    CHECK(openai.prompt_bytes == 3);
    const auto anthropic = peek_json(R"({"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":")" + data + R"("}},{"type":"text","text":"see"}]}]})");
    CHECK(anthropic.images == 1);
    CHECK(anthropic.prompt_bytes == 3);
    CHECK(peek_json(R"({"prompt":"see","images":["AAAA"]})").images == 1);
    // a URL in the arguments of a tool is text
    CHECK(peek_json(R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"get","arguments":{"url":"https://example.org/a/long/path/that/goes/on/and/on/and/on/and/on"}}}]}]})").images == 0);
    const auto chain = [&](const std::string& image) { return chain_of(R"({"prompt":"see","images":[")" + image + "\"]}"); };
    CHECK(common(chain("AAAA"), chain("AAAB")) == 0);
    CHECK(chain("AAAA") == chain("AAAA"));
}

TEST_CASE("nothing to read is no chain")
{
    CHECK(peek_json(R"({"model":"m"})").prompt == nullptr);
    CHECK(peek_json(R"({"prompt":"","messages":[],"tools":null,"system":""})").prompt == nullptr);
    CHECK(peek_json(R"({"prompt":"","messages":[],"tools":null,"system":""})").prompt_bytes == 0);
}

TEST_CASE("the profile carries what the scheduler weighs")
{
    const auto peek = peek_json(R"({"model":"m","prompt":"abc","images":["AAAA"],"user":"ann","metadata":{"tags":["first","session:s9"]},
        "fallback_models":["b","M:latest","c:1","b"],"options":{"num_ctx":4096}})");
    http::Fields fields;
    fields.add("X-Herd-Tags", "second, first");
    fields.add("User-Agent", "Open-WebUI/0.6.2 (linux)");
    fields.add("X-Herd-Fallback-Models", "d, c:1");
    auto wishes = read_wishes(fields, {});
    const auto route = classify("POST", "/api/generate", "");
    const auto model = read_model("m", route);
    REQUIRE(model);
    auto profile = make_profile(route, fleet::Need::slot, *model, peek, wishes, {}, {});
    CHECK(profile.images == 1);
    CHECK(profile.generates);
    CHECK(profile.prompt == peek.prompt);
    CHECK(profile.tag == "first");
    CHECK(profile.session == "s9");
    CHECK(all_tags(peek, wishes) == std::vector<std::string>{"first", "session:s9", "second", "user:ann"});
    std::vector<std::string> names;
    for (const auto& choice : profile.fallbacks) {
        names.push_back(choice.model);
        CHECK_FALSE(choice.key.empty());
    }
    CHECK(names == std::vector<std::string>{"b", "c:1", "d"});

    CHECK(make_profile(route, fleet::Need::slot, *model, peek_json("{}"), wishes, {}, {}).tag == "second");
    wishes.tags.clear();
    CHECK(make_profile(route, fleet::Need::slot, *model, peek_json("{}"), wishes, {}, {}).tag == "open-webui");
    CHECK(make_profile(route, fleet::Need::model, *model, peek, wishes, {}, {}).fallbacks.empty());
    wishes.no_fallback = true;
    CHECK(make_profile(route, fleet::Need::slot, *model, peek, wishes, {}, {}).fallbacks.empty());
    const auto refused = peek_json(R"({"fallback":false,"fallback_models":["b"]})");
    wishes.no_fallback = false;
    CHECK(make_profile(route, fleet::Need::slot, *model, refused, wishes, {}, {}).fallbacks.empty());
    const auto embed = classify("POST", "/v1/embeddings", "");
    const auto embedding = make_profile(embed, fleet::Need::slot, *model, peek_json(R"({"input":"abc"})"), wishes, {}, {});
    CHECK_FALSE(embedding.generates);
    CHECK(embedding.prompt == nullptr);
    CHECK(embedding.prompt_bytes == 3);
}

TEST_CASE("num_ctx is rounded up to a bucket, and its place in the body is known")
{
    const auto rounded = [](int asked, const std::vector<int>& buckets) {
        auto peek = peek_json(R"({"options":{"num_ctx":)" + std::to_string(asked) + "}}");
        const bool other = round_num_ctx(peek, buckets);
        CHECK(other == (peek.num_ctx != asked));
        CHECK(peek.options_class == fleet::options_class_of(0, peek.num_ctx));
        return peek.num_ctx.value_or(0);
    };
    CHECK(rounded(5000, {4096, 8192, 32768}) == 8192);
    CHECK(rounded(8192, {4096, 8192, 32768}) == 8192);
    CHECK(rounded(40000, {4096, 8192, 32768}) == 40000);
    CHECK(rounded(5000, {}) == 5000);
    auto none = peek_json("{}");
    CHECK_FALSE(round_num_ctx(none, {4096}));
    const std::string body = R"({"model": "m" , "Model":"n","options":{"num_ctx":1, "num_ctx": 5000,"num_thread":3}})";
    const auto peek = peek_json(body);
    CHECK(body.substr(peek.num_ctx_at.offset, peek.num_ctx_at.size) == "5000");
    CHECK(body.substr(peek.model_at.offset, peek.model_at.size) == "\"n\"");
    CHECK(peek.options_class == fleet::options_class_of(peek.options_rest, 5000));
    CHECK(fleet::options_class_of(peek.options_rest, 8192)
          == peek_json(R"({"options":{"num_thread":3,"num_ctx":8192}})").options_class);
    CHECK(fleet::options_class_of(0, std::nullopt) == 0);
}
