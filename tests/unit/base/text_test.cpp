#include "base/text.hpp"

#include "support/catch.hpp"

#include <array>

using namespace herd::base;

TEST_CASE("hex both ways, and strict")
{
    const std::array<std::uint8_t, 3> bytes{0x00, 0xAB, 0xFF};
    CHECK(to_hex(bytes) == "00abff");
    std::array<std::uint8_t, 3> back{};
    CHECK(from_hex("00ABff", back));
    CHECK(back == bytes);
    CHECK_FALSE(from_hex("00abf", back));
    CHECK_FALSE(from_hex("00abfg", back));
}

TEST_CASE("lists are split, trimmed and lose empty pieces")
{
    CHECK(split_list(" a, b,,c ,") == std::vector<std::string_view>{"a", "b", "c"});
    CHECK(split_list("").empty());
}

TEST_CASE("unsigned numbers are digits and nothing else")
{
    CHECK(parse_unsigned("18446744073709551615") == 18446744073709551615ULL);
    for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_unsigned(text).has_value());
    }
}

TEST_CASE("a mistyped word finds its neighbour, a strange one finds nothing")
{
    const std::vector<std::string> words{"listen", "threads", "state_dir"};
    CHECK(nearest("lisen", words) == "listen");
    CHECK(nearest("state-dir", words) == "state_dir");
    CHECK(nearest("frobnicate", words).empty());
}

TEST_CASE("UTF-8 is checked for overlong forms, surrogates and cut ends")
{
    CHECK(is_utf8("gr\xC3\xBC\xC3\x9F dich \xF0\x9F\x90\x91"));
    for (const char* text : {"\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3", "\x80", "\xF5\x80\x80\x80"}) {
        CHECK_FALSE(is_utf8(text));
    }
}

TEST_CASE("percent escapes of a URL are taken out, and a bad one is no text")
{
    CHECK(percent_decoded("a%2Fb%20c+d") == "a/b c+d");
    CHECK(percent_decoded("a+b%2b", true) == "a b+");
    CHECK(percent_decoded("") == "");
    for (const std::string_view bad : {"%", "%4", "a%zz", "%4g"}) {
        CHECK_FALSE(percent_decoded(bad));
    }
}

TEST_CASE("ASCII case is ignored where asked")
{
    CHECK(iequals("Content-Length", "content-length"));
    CHECK_FALSE(iequals("a", "ab"));
    for (std::size_t length = 1; length < 20; ++length) { // eight bytes are looked at together
        for (std::size_t at = 0; at < length; ++at) {
            std::string text(length, 'x');
            std::string other(length, 'X');
            CHECK(iequals(text, other));
            text[at] = '@';
            other[at] = '`'; // they differ as upper and lower case do, and are no letters
            CHECK_FALSE(iequals(text, other));
            other[at] = '@';
            CHECK(iequals(text, other));
        }
    }
    CHECK(lower("LLaMA3:8B") == "llama3:8b");
}

TEST_CASE("a text is cut between characters, never inside of one")
{
    CHECK(cut_text("plain", 9) == "plain");
    CHECK(cut_text("plain", 3) == "pla");
    CHECK(cut_text("", 0).empty());
    const std::string words = "a\u00e9\u20ac\U0001F411z"; // one, two, three, four bytes
    for (std::size_t bytes = 0; bytes <= words.size(); ++bytes) {
        const auto cut = cut_text(words, bytes);
        CHECK(is_utf8(cut));
        CHECK(cut.size() <= bytes);
        CHECK(cut.size() + 3 >= bytes);
        CHECK(words.starts_with(cut));
    }
    CHECK(cut_text("\u20ac\u20ac", 3) == "\u20ac");
    CHECK(cut_text(std::string(20, '\x80'), 10).size() == 10);
}
