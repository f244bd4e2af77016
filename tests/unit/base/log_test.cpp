#include "base/log.hpp"

#include "support/catch.hpp"

using namespace herd;

TEST_CASE("a line is logfmt: level room event key=value")
{
    CHECK(log::format_line(log::Format::text, log::Level::info, "fleet", "node_lost", {{"node", "a"}, {"silence_ms", 1900}, {"ok", false}})
          == "info fleet node_lost node=a silence_ms=1900 ok=false");
}

TEST_CASE("values with spaces, quotes or nothing in them are quoted")
{
    CHECK(log::format_line(log::Format::text, log::Level::warn, "r", "e", {{"a", "two words"}, {"b", ""}, {"c", "say \"hi\""}})
          == R"(warn r e a="two words" b="" c="say \"hi\"")");
}

TEST_CASE("a value cannot forge a second line or colour the terminal")
{
    const std::string line = log::format_line(log::Format::text, log::Level::info, "r", "e", {{"name", "x\ninfo fleet node_lost"}, {"esc", "\x1b[31m"}});
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find('\x1b') == std::string::npos);
    CHECK(line.find("\\u000a") != std::string::npos);
}

TEST_CASE("JSON keeps numbers and booleans bare")
{
    CHECK(log::format_line(log::Format::json, log::Level::error, "r", "e", {{"n", 3}, {"t", "3"}, {"b", true}})
          == R"("level":"error","room":"r","event":"e","n":3,"t":"3","b":true)");
}

TEST_CASE("levels have names")
{
    CHECK(log::parse_level("debug") == log::Level::debug);
    CHECK_FALSE(log::parse_level("loud").has_value());
}
