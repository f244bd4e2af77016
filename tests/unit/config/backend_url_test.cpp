// The cases of Ollama's own envconfig tests, with the addresses that only a listener understands made callable.
#include "config/backend_url.hpp"

#include "support/catch.hpp"

#include <utility>
#include <vector>

using herd::config::parse_backend_url;
using herd::config::parse_ollama_host;

TEST_CASE("OLLAMA_HOST is read as Ollama reads it")
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "http://127.0.0.1:11434"},
        {"1.2.3.4", "http://1.2.3.4:11434"},
        {":1234", "http://127.0.0.1:1234"},
        {"1.2.3.4:1234", "http://1.2.3.4:1234"},
        {"example.com", "http://example.com:11434"},
        {"example.com:1234", "http://example.com:1234"},
        {":66000", "http://127.0.0.1:11434"},
        {":-1", "http://127.0.0.1:11434"},
        {"example.com:", "http://example.com:11434"},
        {"[::1]", "http://[::1]:11434"},
        {"[::]", "http://[::1]:11434"},
        {"::1", "http://[::1]:11434"},
        {"[::1]:1337", "http://[::1]:1337"},
        {"0.0.0.0", "http://127.0.0.1:11434"},
        {"0.0.0.0:8080", "http://127.0.0.1:8080"},
        {" 1.2.3.4 ", "http://1.2.3.4:11434"},
        {"\"1.2.3.4\"", "http://1.2.3.4:11434"},
        {" \" 1.2.3.4 \" ", "http://1.2.3.4:11434"},
        {"'1.2.3.4'", "http://1.2.3.4:11434"},
        {"http://1.2.3.4", "http://1.2.3.4:80"},
        {"http://1.2.3.4:1234", "http://1.2.3.4:1234"},
        {"https://1.2.3.4", "https://1.2.3.4:443"},
        {"https://example.com/ollama", "https://example.com:443/ollama"},
        {"http://h:1/p/", "http://h:1/p"},
        {"ollama.com", "https://ollama.com:443"},
    };
    for (const auto& [given, wanted] : cases) {
        CAPTURE(given);
        CHECK(parse_ollama_host(given).text() == wanted);
    }
}

TEST_CASE("a URL from a flag is read by the same rules, strictly")
{
    CHECK(parse_backend_url("192.168.1.20")->text() == "http://192.168.1.20:11434");
    CHECK(parse_backend_url("http://attic.lan")->text() == "http://attic.lan:80");
    CHECK(parse_backend_url("https://x.example/v/")->text() == "https://x.example:443/v");
    CHECK(parse_backend_url("[fe80::1%3]:11434")->host == "fe80::1%3");
    for (const char* bad : {"", "http://", "ftp://a", "a:0", "a:99999", "a:b", "http://user@a", "a?x=1",
                            "a b", "http://a/x y", "a:1:2"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_backend_url(bad).has_value());
    }
}
