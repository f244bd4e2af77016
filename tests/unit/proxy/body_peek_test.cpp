#include "proxy/body_peek.hpp"
#include "proxy/go_json.hpp"
#include "proxy/json_reader.hpp"
#include "support/catch.hpp"

#include <zstd.h>

using namespace herd::proxy;

TEST_CASE("the model is found wherever it stands, and nothing else is taken for it")
{
    CHECK(peek_json(R"({"model":"a"})").model == "a");
    CHECK(peek_json(R"( { "x" : {"model":"b"}, "y":["model","c"], "model" : "a" } )").model == "a");
    CHECK(peek_json(R"({"MODEL":"a"})").model == "a");
    CHECK(peek_json(R"({"mod\u0065l":"a"})").model == "a");
    CHECK(peek_json(R"({"model":"a\/b\u003ac"})").model == "a/b:c");
    CHECK(peek_json(R"({"model":"a","model":"b"})").model == "b");
    CHECK(peek_json(R"({"model":"a","Model":null})").model == "a");
    CHECK(peek_json(R"({"prompt":"\"model\":\"b\"","model":"a"})").model == "a");
    CHECK(peek_json(R"({"prompt":"\\","model":"a"})").model == "a");
    CHECK(peek_json("{\"prompt\":\"\xff\xfe\",\"model\":\"a\"}").model == "a");
    CHECK(peek_json(R"({"model":"a"} {"model":"b"} rubbish)").model == "a");
    CHECK(peek_json(R"({"model":"","name":"n"})").model_or_name() == "n");
}

TEST_CASE("what is no JSON for Ollama is broken for us")
{
    for (const auto* text : {"{bad", "{\"model\":\"a\"", "{\"model\":5}", "[1]", "\"x\"", "{\"model\":\"\\x\"}", "{\"a\":}"}) {
        CAPTURE(text);
        CHECK(peek_json(text).broken);
    }
    CHECK(peek_json("").empty);
    CHECK(peek_json(" \n").empty);
    CHECK_FALSE(peek_json("").broken);
    CHECK(peek_json("{}").object);
    CHECK_FALSE(peek_json("{}").broken);
}

TEST_CASE("a request without a prompt and with keep_alive 0 is an unload")
{
    for (const auto* zero : {"0", "0.0", "-0", "\"0\"", "\"0s\"", "\"0h0m0s\"", "\"-0s\""}) {
        CAPTURE(zero);
        CHECK(peek_json(std::string(R"({"model":"m","keep_alive":)") + zero + "}").keep_alive == herd::base::Duration{});
    }
    for (const auto* not_zero : {"5", "-1", "\"5m\"", "\"-1m\"", "null", "\"zzz\"", "\"\"", "true", "\"s\""}) {
        CAPTURE(not_zero);
        CHECK(peek_json(std::string(R"({"model":"m","keep_alive":)") + not_zero + "}").keep_alive != herd::base::Duration{});
    }
    CHECK(peek_json(R"({"model":"m"})").prompt_empty);
    CHECK(peek_json(R"({"prompt":""})").prompt_empty);
    CHECK_FALSE(peek_json(R"({"prompt":"x"})").prompt_empty);
    CHECK(peek_json(R"({"messages":[ ]})").messages_empty);
    CHECK(peek_json(R"({"messages":null})").messages_empty);
    CHECK_FALSE(peek_json(R"({"messages":[{}]})").messages_empty);
}

TEST_CASE("load-time options make a class, others do not")
{
    const auto of = [](std::string_view options) {
        return peek_json(std::string(R"({"model":"m","options":)").append(options).append("}"));
    };
    CHECK(of("{}").options_class == 0);
    CHECK(of(R"({"temperature":1,"seed":3})").options_class == 0);
    CHECK(of(R"({"num_ctx":4096})").options_class != 0);
    CHECK(of(R"({"num_ctx":4096})").num_ctx == 4096);
    CHECK_FALSE(of(R"({"num_ctx":nan})").num_ctx); // never cast: that would be undefined
    CHECK_FALSE(of(R"({"num_ctx":1e300})").num_ctx);
    CHECK(of(R"({"num_ctx":4096,"num_batch":1})").options_class == of(R"({"num_batch":1,"num_ctx":4096,"top_k":3})").options_class);
    CHECK(of(R"({"num_ctx":4096})").options_class != of(R"({"num_ctx":8192})").options_class);
    CHECK(of(R"({"num_gpu":-1})").options_class == 0);
    CHECK(peek_json(R"({"shift":false})").options_class != 0);
    CHECK(peek_json(R"({"shift":true})").options_class == 0);
    CHECK(of(R"({"num_predict":7})").output_tokens_max == 7);
    CHECK(of(R"({"num_predict":-1})").output_tokens_max == std::nullopt);
    CHECK(peek_json(R"({"max_tokens":9})").output_tokens_max == 9);
    CHECK(of(R"({"num_ctx":1e99})").num_ctx == std::nullopt);
}

TEST_CASE("the size of a prompt counts text, not images")
{
    CHECK(peek_json(R"({"prompt":"12345"})").prompt_bytes == 5);
    CHECK(peek_json(R"({"messages":[{"role":"user","content":"12345","images":["AAAA","BBBB"]}]})").prompt_bytes == 5);
    CHECK(peek_json(R"({"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]})").prompt_bytes == 0);
}

TEST_CASE("tags and blobs are collected, within limits")
{
    const auto peek = peek_json(R"({"metadata":{"tags":["a","b",5,"c"]},"files":{"x":"sha256:1"},"adapters":{"y":"sha256:2"}})");
    CHECK(peek.tags == std::vector<std::string>{"a", "b", "c"});
    CHECK(peek.blobs == std::vector<std::string>{"sha256:1", "sha256:2"});
    std::string many = R"({"metadata":{"tags":[)";
    for (int i = 0; i < 1000; ++i) {
        many += "\"t\",";
    }
    CHECK(peek_json(many + "\"t\"]}}").tags.size() == 16);
}

TEST_CASE("the model of a form is a field")
{
    const std::string form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a; name=\\\"model\\\".wav\"\r\n\r\n"
                             "RIFF\r\n--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper:1\r\n--b--\r\n";
    CHECK(peek_multipart(form, "multipart/form-data; boundary=b").model == "whisper:1");
    CHECK(peek_multipart(form, "Multipart/Form-Data; boundary=\"b\"").model == "whisper:1");
    CHECK(peek_multipart(form, "application/json").model == std::nullopt);
    CHECK(peek_multipart(form, "multipart/form-data").model == std::nullopt);
    CHECK(peek_multipart(form.substr(0, 60), "multipart/form-data; boundary=b").model == std::nullopt);
    CHECK(peek_multipart("x", "multipart/form-data; boundary=b").model == std::nullopt);
}

TEST_CASE("a form is plain when every program reads the same one model in it")
{
    const auto part = [](std::string_view disposition, std::string_view value) {
        return "--b\r\nContent-Disposition: form-data; " + std::string(disposition) + "\r\n\r\n" + std::string(value) + "\r\n";
    };
    const std::string type = "multipart/form-data; boundary=b";
    const auto file = part("name=\"file\"; filename=\"model.wav\"", "RIFF");
    const auto a = part("name=\"model\"", "a");
    const auto good = peek_multipart(file + a + "--b--\r\n", type);
    CHECK(good.plain);
    CHECK(good.models == 1);
    CHECK(peek_multipart(a + part("name=\"model\"", "secret") + "--b--\r\n", type).models == 2);
    CHECK(peek_multipart(a + part("name=\"model\"", "secret") + "--b--\r\n", type).model == "a");
    CHECK_FALSE(peek_multipart(a + file, type).plain); // no end
    CHECK_FALSE(peek_multipart("x\r\n" + a + "--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(a + "--b--\r\n" + part("name=\"model\"", "secret") + "--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(a + part("name=\"x\"; name=\"model\"", "secret") + "--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(a + part("name=\"x\"; name*=UTF-8''model", "secret") + "--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(a + part("name=\"x\"\r\nContent-Disposition: form-data; name=\"model\"", "secret") + "--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(a + "--b \r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsecret\r\n--b--\r\n", type).plain);
    CHECK_FALSE(peek_multipart(file + a + "--b--\r\n", type + "; boundary=c").plain);
}

TEST_CASE("how often and how a body names its model is told")
{
    CHECK(peek_json(R"({"model":"a"})").model_members == 1);
    CHECK(peek_json(R"({"model":"a"})").model_exact);
    CHECK(peek_json(R"({"model":"secret","MODEL":"a"})").model_members == 2);
    CHECK(peek_json(R"({"model":"secret","mod\u0065l":null})").model_members == 2);
    CHECK_FALSE(peek_json(R"({"Model":"a"})").model_exact);
    CHECK(peek_json(R"({"options":{"model":"a"}})").model_members == 0);
}

TEST_CASE("packed bodies are unpacked up to a limit")
{
    const std::string text = R"({"model":"m","input":")" + std::string(100000, 'x') + "\"}";
    std::string packed(ZSTD_compressBound(text.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
    CHECK(unpack_zstd(packed) == text);
    CHECK(unpack_zstd(packed, 1000) == std::nullopt);
    CHECK(unpack_zstd(packed.substr(0, packed.size() / 2)) == std::nullopt);
    CHECK(unpack_zstd("rubbish") == std::nullopt);
}

TEST_CASE("bad JSON is refused in the words of Go's decoder")
{
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"{bad", "invalid character 'b' looking for beginning of object key string"},
        {"", "EOF"},
        {" ", "EOF"},
        {"{", "unexpected EOF"},
        {"{\"a\":1", "unexpected EOF"},
        {"bad", "invalid character 'b' looking for beginning of value"},
        {"{\"a\" 1}", "invalid character '1' after object key"},
        {"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"},
        {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
        {"[1 2]", "invalid character '2' after array element"},
        {"[1,]", "invalid character ']' looking for beginning of value"},
        {"{\"model\": \"tiny\", \"messages\": [}", "invalid character '}' looking for beginning of value"},
        {"{\"a\":tru}", "invalid character '}' in literal true (expecting 'e')"},
        {"{\"a\":nul", "unexpected EOF"},
        {"{\"a\":-x}", "invalid character 'x' in numeric literal"},
        {"{\"a\":1.x}", "invalid character 'x' after decimal point in numeric literal"},
        {"{\"a\":1ex}", "invalid character 'x' in exponent of numeric literal"},
        {"{\"a\":01}", "invalid character '1' after object key:value pair"},
        {"{\"a\":\"\n\"}", "invalid character '\\n' in string literal"},
        {"{\"a\":\"\\x\"}", "invalid character 'x' in string escape code"},
        {"{\"a\":\"\\u12g4\"}", "invalid character 'g' in \\u hexadecimal character escape"},
        {"{'a'", "invalid character '\\'' looking for beginning of object key string"},
        {"\x01", "invalid character '\\x01' looking for beginning of value"},
        {"\xe9", "invalid character '\xc3\xa9' looking for beginning of value"},
        {"{}", ""}, {"{} trailing", ""}, {"[[],{}, {\"a\":[1,2.5e-3,true,null,\"\\u00e9\"]}]", ""}, {"5", ""}};
    for (const auto& [text, fault] : cases) {
        CAPTURE(text);
        CHECK(go_json_fault(text) == fault);
    }
    CHECK(go_json_fault(std::string(100000, '[')) == "invalid character '[' exceeded max depth");
}

TEST_CASE("the reader skips what it does not know, however deep")
{
    const std::string brackets = std::string(200000, '[') + "x";
    JsonReader deep(brackets);
    CHECK(deep.skip().empty());
    CHECK(deep.broken());
    const std::string text = R"({"a":[1,{"b":"]}"}],"c":2})";
    JsonReader reader(text);
    REQUIRE(reader.enter());
    CHECK(reader.next_key() == "a");
    CHECK(reader.skip() == R"([1,{"b":"]}"}])");
    CHECK(reader.next_key() == "c");
    CHECK(reader.skip() == "2");
    CHECK(reader.next_key() == std::nullopt);
    CHECK_FALSE(reader.broken());
    CHECK(reader.position() == text.size());
}

TEST_CASE("quoting cannot be escaped from")
{
    CHECK(json_quoted("a\"b\\c\n\x01\x7f") == "\"a\\\"b\\\\c\\n\\u0001\\u007f\"");
    CHECK(json_quoted("\xff") == "\"\\ufffd\"");
    CHECK(json_quoted("é") == "\"é\"");
    std::string out;
    CHECK(JsonReader::unescape("\\ud83d\\ude00 \\ud83d", out));
    CHECK(out == "\xf0\x9f\x98\x80 \xef\xbf\xbd");
    CHECK_FALSE(JsonReader::unescape("\\", out));
    CHECK_FALSE(JsonReader::unescape(std::string(5000, 'x'), out));
}
