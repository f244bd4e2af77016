// The key of a fleet: where it lies, what `herd fleet-key` does to it, and who may read it.
#include "base/text.hpp"
#include "herd/cli/fleet_key.hpp"
#include "herd/cli/verbs.hpp"

#include "support/catch.hpp"
#include "unit/store/scratch.hpp"

#include <filesystem>
#include <sstream>

#include <sys/stat.h>

using namespace herd;
using app::KeyRing;
using discovery::FleetKey;

namespace {

KeyRing ring(std::initializer_list<int> ids)
{
    KeyRing made;
    for (const int id : ids) {
        made.push_back({static_cast<std::uint8_t>(id), discovery::Octets(32, static_cast<std::uint8_t>(id))});
    }
    return made;
}

std::vector<int> ids(const base::Result<KeyRing>& ring)
{
    std::vector<int> found;
    for (const FleetKey& key : ring ? *ring : KeyRing{}) {
        found.push_back(key.id);
    }
    return found;
}

/// `herd fleet-key WORDS` beside a state directory, with no herd to be found.
struct Typed {
    int code{0};
    std::string said{};
};
Typed type_at(const std::string& state_dir, std::vector<std::string> words)
{
    words.insert(words.begin(), "fleet-key");
    for (const std::string& more : {std::string{"--state-dir"}, state_dir, std::string{"--url"}, std::string{"127.0.0.1:1"}}) {
        words.push_back(more);
    }
    const auto line = app::parse_command_line(words, {{"HOME", "/nowhere"}}, "/nowhere");
    if (const auto* exit = std::get_if<app::ExitNow>(&line)) {
        return {exit->code, exit->text};
    }
    std::ostringstream out;
    std::ostringstream err;
    const base::SystemClock clock;
    const int code = app::run_verb(std::get<app::Verb>(line), {out, err, false}, clock);
    return {code, out.str() + err.str()};
}
Typed type(const test::Scratch& state, std::vector<std::string> words) { return type_at(state.path.string(), std::move(words)); }

int mode_of(const std::string& path)
{
    struct ::stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<int>(status.st_mode & 0777);
}

} // namespace

TEST_CASE("a ring takes keys up to eight, each id once, and gives them numbers that rise")
{
    CHECK(app::next_id({}) == 1);
    CHECK(app::next_id(ring({2, 1})) == 3);
    CHECK(app::next_id(ring({255, 3})) == 1);
    CHECK(app::next_id(ring({255, 1, 2})) == 3);
    CHECK(ids(app::with_another(ring({1}), ring({2}).front())) == std::vector{1, 2});
    CHECK_FALSE(app::with_another(ring({1}), ring({1}).front()));
    CHECK_FALSE(app::with_another(ring({1, 2, 3, 4, 5, 6, 7, 8}), ring({9}).front()));
}

TEST_CASE("the newest key comes into use, or the one that is named, and the others keep their order")
{
    CHECK(ids(app::with_first(ring({1, 2, 3}), 0)) == std::vector{3, 1, 2});
    CHECK(ids(app::with_first(ring({1, 2, 3}), 2)) == std::vector{2, 1, 3});
    CHECK_FALSE(app::with_first(ring({1}), 0));
    CHECK_FALSE(app::with_first(ring({2, 1}), 0)); // the newest is in use: not back to the old one by accident
    CHECK_FALSE(app::with_first(ring({2, 1}), 7));
}

TEST_CASE("a key in use cannot be removed")
{
    CHECK(ids(app::without(ring({2, 1}), 1)) == std::vector{2});
    CHECK_FALSE(app::without(ring({2, 1}), 2));
    CHECK_FALSE(app::without(ring({2, 1}), 9));
}

TEST_CASE("herd fleet-key makes a key for its owner alone, adds, changes and removes")
{
    const test::Scratch state;
    const std::string file = state.file("fleet.key");
    const Typed made = type(state, {"new"});
    CHECK(made.code == 0);
    CHECK(made.said.find(file) != std::string::npos);
    CHECK(made.said.find("--fleet-key-file") != std::string::npos);
    CHECK(mode_of(file) == 0600);
    CHECK(discovery::parse_fleet_keys(test::content_of(file))->size() == 1);
    CHECK(type(state, {"new"}).code == 1);
    CHECK(type(state, {"rotate"}).said.find("only one key") != std::string::npos);
    CHECK(type(state, {"add"}).said.find("key 2 is accepted beside key 1") != std::string::npos);
    const auto both = discovery::parse_fleet_keys(test::content_of(file));
    REQUIRE(both);
    CHECK(both->at(0).secret != both->at(1).secret);
    CHECK(type(state, {"rotate"}).code == 0);
    CHECK(ids(discovery::parse_fleet_keys(test::content_of(file))) == std::vector{2, 1});
    CHECK(type(state, {"remove", "1"}).code == 0);
    CHECK(ids(discovery::parse_fleet_keys(test::content_of(file))) == std::vector{2});
    CHECK(mode_of(file) == 0600);
    const Typed added = type(state, {"add"});
    CHECK(added.said.find(base::to_hex(both->at(0).secret)) == std::string::npos); // no secret but that of `new` is shown
}

TEST_CASE("herd fleet-key new makes the state directory that herd would make")
{
    const test::Scratch scratch;
    const std::string state = scratch.file("not/there/yet");
    const Typed made = type_at(state + "/", {"new"});
    CHECK(made.code == 0);
    CHECK(mode_of(state) == 0700);
    CHECK(mode_of(state + "/fleet.key") == 0600);
    CHECK(type_at(scratch.file("nor/this"), {"add"}).code == 1);
    CHECK_FALSE(std::filesystem::exists(scratch.file("nor"))); // there is nothing to write
}

TEST_CASE("keys of another herd's file are taken over with their ids")
{
    const test::Scratch state;
    REQUIRE(type(state, {"new"}).code == 0);
    std::ofstream(state.file("theirs")) << "7 " + std::string(64, 'a') + "\n";
    CHECK(type(state, {"add", state.file("theirs")}).code == 0);
    CHECK(ids(discovery::parse_fleet_keys(test::content_of(state.file("fleet.key")))) == std::vector{1, 7});
    CHECK(type(state, {"add", state.file("theirs")}).said.find("a key 7 already") != std::string::npos);
}

TEST_CASE("a key file that others may read is refused with one sentence")
{
    const test::Scratch state;
    REQUIRE(type(state, {"new"}).code == 0);
    const std::string file = state.file("fleet.key");
    ::chmod(file.c_str(), 0640);
    const Typed refused = type(state, {"add"});
    CHECK(refused.code == 1);
    CHECK(refused.said == "herd: " + file + " can be read by others: chmod 600 " + file + "\n");
}

TEST_CASE("mistyped steps are refused with the nearest known one")
{
    const test::Scratch state;
    CHECK(type(state, {}).code == 2);
    CHECK(type(state, {"rotat"}).said.find("rotate") != std::string::npos);
    CHECK(type(state, {"remove"}).code == 2);
    CHECK(type(state, {"remove", "300"}).code == 2);
    CHECK(type(state, {"new", "x"}).code == 2);
}
