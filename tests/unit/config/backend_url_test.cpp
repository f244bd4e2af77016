// The cases of Ollama's own envconfig tests, with the addresses that only a listener understands made callable.
#include "config/backend_url.hpp"
#include "config/table.hpp"

#include "support/catch.hpp"

#include <utility>
#include <vector>

using namespace herd;
using herd::config::parse_backend_url;
using herd::config::parse_ollama_host;

TEST_CASE("what is told of a URL that was refused holds no password")
{
    for (const char* bad : {"http://user:s3cret@a", "ftp://user:s3cret@a", "user:s3cret@a", "user:s3cret@x://a", "http://user:s3cret@a?x=1"}) {
        INFO(bad);
        const auto url = config::parse_backend_url(bad);
        REQUIRE_FALSE(url);
        CHECK(url.error().context.find("s3cret") == std::string::npos);
        std::string into;
        config::Table table{"T_"};
        auto& option = table.parsed({.key = "url", .sentence = "Where."}, into, "a URL",
                                    [](std::string_view text) -> base::Result<std::string> {
                                        const auto parsed = config::parse_backend_url(text);
                                        return parsed ? base::Result<std::string>{parsed->text()} : std::unexpected(parsed.error());
                                    },
                                    [](const std::string& text) { return text; });
        const std::vector<std::string> texts{bad};
        const auto done = config::assign(option, texts, {config::From::file, "herd.toml line 7"});
        REQUIRE_FALSE(done);
        CHECK(done.error().context.starts_with("herd.toml line 7 \"***@"));
        CHECK(done.error().context.find("s3cret") == std::string::npos);
    }
}

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
        CHECK(config::ollama_host_fault(parse_ollama_host(given)).empty());
    }
}

TEST_CASE("an OLLAMA_HOST that is neither an address nor a name is told")
{
    CHECK(config::ollama_host_fault(parse_ollama_host(":::bad")) == "\":::bad\" is neither an address nor the name of a host");
    for (const char* bad : {"a:1:2", "[::1:", "a b", "user@host", "host?x=1", "fe80::zz%eth0", "a,b:c:d"}) {
        CAPTURE(bad);
        CHECK_FALSE(config::ollama_host_fault(parse_ollama_host(bad)).empty());
    }
    for (const char* good : {"[::1", "http://[::1", "[a]:1", "fe80::1%eth0", "[fe80::1%eth0]:11434", "my_box", "bücher.lan:1", "box.", "::ffff:10.0.0.1"}) {
        CAPTURE(good);
        CHECK(config::ollama_host_fault(parse_ollama_host(good)).empty());
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
