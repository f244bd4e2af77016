// `herd key`: words in, JSON for the API out, and a table for people.
#include "herd/cli/key_verbs.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;

namespace {

struct Screen {
    std::ostringstream out{};
    std::ostringstream err{};
    cli::Terminal terminal{out, err, false};
};

app::Verb verb_of(const std::vector<std::string>& words)
{
    const auto line = app::parse_command_line(words, {}, "/nowhere");
    const auto* verb = std::get_if<app::Verb>(&line);
    REQUIRE(verb != nullptr);
    return *verb;
}

std::string error_of(const std::vector<std::string>& words)
{
    const auto line = app::parse_command_line(words, {}, "/nowhere");
    const auto* exit = std::get_if<app::ExitNow>(&line);
    REQUIRE(exit != nullptr);
    CHECK(exit->code == 2);
    return exit->text;
}

} // namespace

TEST_CASE("herd key add: what is typed becomes the API's body")
{
    CHECK(app::new_key_json(verb_of({"key", "add", "alice"})) == R"({"name":"alice"})");
    CHECK(app::new_key_json(verb_of({"key", "add", "alice", "--models", "a,b", "--models", "c", "--frontends", "x", "--rpm", "60", "--tokens-per-day", "100000",
                                     "--max-parallel", "4", "--priority", "batch", "--expires", "90d"}))
          == R"({"expires":"90d","frontends":["x"],"max_parallel":4,"models":["a","b","c"],"name":"alice","priority":"batch","rpm":60,"tokens_per_day":100000})");
    CHECK(app::new_key_json(verb_of({"key", "add", "ops", "--admin"})) == R"({"name":"ops","scope":"admin"})");
    CHECK(verb_of({"--key", "herd_x", "key", "list"}).key == "herd_x");
}

TEST_CASE("herd key: mistakes are told")
{
    CHECK(error_of({"key"}).find("add, list or revoke") != std::string::npos);
    CHECK(error_of({"key", "ad", "x"}).find("did you mean") != std::string::npos);
    CHECK(error_of({"key", "add"}).find("needs a name") != std::string::npos);
    CHECK(error_of({"key", "revoke"}).find("needs a name or id") != std::string::npos);
    CHECK(error_of({"key", "list", "x"}).find("unexpected") != std::string::npos);
    CHECK(error_of({"key", "revoke", "x", "--admin"}).find("key add") != std::string::npos);
    for (const char* flag : {"--models", "--frontends"}) { // an empty shell variable is no wish for a key that may use everything
        for (const char* nothing : {"", " ", ","}) {
            CHECK(error_of({"key", "add", "x", flag, nothing}).find(std::string{flag} + " needs a name") != std::string::npos);
        }
    }
    CHECK_FALSE(error_of({"key", "add", "x", "--models", "a", "--models="}).empty());
    CHECK(error_of({"key", "add", "x", "--rpm", "many"}).find("--rpm") != std::string::npos);
}

TEST_CASE("herd key add: a priority or an end that no key can have is bad usage, and no herd is asked")
{
    CHECK(error_of({"key", "add", "x", "--priority", "urgent"}) == "herd: --priority \"urgent\": expected interactive | normal | batch\n");
    for (const char* when : {"yesterday", "2020-01-01", "2020-01-01T00:00:00Z", "0s", ""}) {
        CHECK(error_of({"key", "add", "x", "--expires", when}).starts_with("herd: --expires \"" + std::string{when} + "\": expected a date"));
    }
    for (const char* when : {"90d", "9999-01-31", "9999-01-31T12:00:00Z"}) {
        CHECK(verb_of({"key", "add", "x", "--expires", when}).key_words.expires == when);
    }
}

TEST_CASE("keys are listed masked, and names cannot disturb the terminal")
{
    Screen screen;
    REQUIRE(app::print_keys(R"({"keys":[{"id":"key-1","name":"alice\u001b[31m","key":"herd_1a2b…9f0e","scope":"user","state":"active","models":["m"],"rpm":60,)"
                            R"("tokens_today":12,"expires":"2027-01-31T00:00:00.000Z"}]})",
                            screen.terminal));
    const auto text = screen.out.str();
    CHECK(text.find("herd_1a2b…9f0e") != std::string::npos);
    CHECK(text.find("2027-01-31") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    Screen empty;
    REQUIRE(app::print_keys(R"({"keys":[]})", empty.terminal));
    CHECK(empty.out.str() == "no keys; `herd key add NAME` makes one\n");
    CHECK_FALSE(app::print_keys("<html>", empty.terminal));
}
