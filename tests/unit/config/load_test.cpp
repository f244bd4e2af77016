#include "config/load.hpp"

#include "support/catch.hpp"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace herd;
using config::Table;
namespace fs = std::filesystem;

namespace {

/// A directory of its own, gone at the end.
struct Scratch {
    Scratch()
    {
        std::string pattern = (fs::temp_directory_path() / "herd-config-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { fs::remove_all(path); }
    fs::path path;
};

struct Settings {
    std::string file{};
    std::uint32_t size{1};
};

Table table_of(Settings& s)
{
    Table t{"T_"};
    t.text({.key = "config", .flags = "--config", .in_file = false}, s.file);
    t.number({.key = "size", .flags = "--size"}, s.size);
    return t;
}

std::uint32_t loaded_size(const std::vector<std::string>& flags, const config::Environment& environment,
                          const std::vector<std::string>& candidates)
{
    Settings s;
    Table t = table_of(s);
    REQUIRE(config::load(t, flags, environment, candidates, config::current_directory()));
    return s.size;
}

} // namespace

TEST_CASE("flag beats environment beats file beats default")
{
    const Scratch scratch;
    const std::string file = scratch.path / "a.toml";
    std::ofstream(file) << "size = 2\n";
    CHECK(loaded_size({}, {}, {}) == 1);
    CHECK(loaded_size({}, {}, {scratch.path / "none.toml", file}) == 2);
    CHECK(loaded_size({}, {{"T_SIZE", "3"}}, {file}) == 3);
    CHECK(loaded_size({"--size", "4"}, {{"T_SIZE", "3"}}, {file}) == 4);
    CHECK(loaded_size({"--config", file}, {}, {}) == 2);
    CHECK(loaded_size({}, {{"T_CONFIG", file}}, {}) == 2);
}

TEST_CASE("a named file that cannot be read is an error")
{
    const Scratch scratch;
    Settings s;
    Table t = table_of(s);
    const auto missing = config::load(t, {"--config", scratch.path / "no.toml"}, {}, {}, "/");
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().context.find("no.toml: No such file or directory") != std::string::npos);
    CHECK_FALSE(config::load(t, {"--config", scratch.path.string()}, {}, {}, "/").has_value());
    const std::string large = scratch.path / "large.toml";
    std::ofstream(large) << std::string((1 << 20) + 2, '#');
    CHECK(config::load(t, {"--config", large}, {}, {}, "/").error().context.find("larger than 1 MiB")
          != std::string::npos);
}

TEST_CASE("configuration is looked for in the usual places")
{
    CHECK(config::file_candidates("herd", {{"HOME", "/h"}})
          == std::vector<std::string>{"./herd.toml", "/h/.config/herd/herd.toml", "/etc/herd/herd.toml"});
    CHECK(config::file_candidates("herd-node", {{"HOME", "/h"}, {"XDG_CONFIG_HOME", "/x"}}).at(1)
          == "/x/herd/herd-node.toml");
}

TEST_CASE("state lies where systemd, root or the user wants it")
{
    CHECK(config::default_state_dir({{"STATE_DIRECTORY", "/s/a:/s/b"}}) == "/s/a");
    const std::string other = config::default_state_dir({{"HOME", "/h"}, {"XDG_STATE_HOME", "relative"}});
    CHECK((other == "/var/lib/herd" || other == "/h/.local/state/herd"));
    if (::geteuid() != 0) {
        CHECK(other == "/h/.local/state/herd");
    }
}

TEST_CASE("the state directory is private")
{
    const Scratch scratch;
    const std::string dir = scratch.path / "a" / "b";
    REQUIRE(config::make_private_dir(dir));
    REQUIRE(config::make_private_dir(dir));
    struct ::stat info{};
    REQUIRE(::stat(dir.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
    std::ofstream(scratch.path / "file") << "x";
    CHECK_FALSE(config::make_private_dir(scratch.path / "file").has_value());
    CHECK(config::absolute_path("/a/./b", "/x") == "/a/b");
    CHECK(config::absolute_path("b/../c", "/x") == "/x/c");
    CHECK(config::absolute_path("", "/x").empty());
}
