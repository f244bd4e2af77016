#include "config/load.hpp"

#include "base/dates.hpp"
#include "base/text.hpp"

#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::config {

namespace fs = std::filesystem;

namespace {

/// The file that the flag or the variable names, else the first candidate that exists.
std::string choose_file(const Table& table, const Arguments& arguments, const Environment& environment,
                        const std::vector<std::string>& candidates, const std::string& directory)
{
    for (std::size_t i = 0; i < table.options().size(); ++i) {
        const Option& option = table.options()[i];
        if (option.row.key != "config") {
            continue;
        }
        if (!arguments.values[i].empty()) {
            return arguments.values[i].back();
        }
        if (const std::string named = lookup(environment, option.environment); !named.empty()) {
            return named;
        }
    }
    for (const std::string& candidate : candidates) {
        std::error_code ignored;
        if (fs::exists(absolute_path(candidate, directory), ignored)) {
            return candidate;
        }
    }
    return {};
}

/// Nothing: the system does not say, or nothing that could be shown.
std::optional<base::WallTime> last_written(const std::string& path)
{
    struct ::stat status{};
    if (::stat(path.c_str(), &status) != 0 || status.st_mtim.tv_sec < 0 || status.st_mtim.tv_sec > base::last_date.time_since_epoch() / std::chrono::seconds{1}) {
        return std::nullopt;
    }
    return base::WallTime{std::chrono::seconds{status.st_mtim.tv_sec}} + std::chrono::microseconds{status.st_mtim.tv_nsec / 1000};
}

std::string home_path(const Environment& environment, std::string_view variable, std::string_view below_home)
{
    const std::string named = lookup(environment, variable);
    if (named.starts_with('/')) { // the XDG specification: relative paths are invalid, ignore them
        return named;
    }
    const std::string home = lookup(environment, "HOME");
    return home.empty() ? std::string{} : fmt::format("{}/{}", home, below_home);
}

} // namespace

Result<Loaded> load(Table& table, const std::vector<std::string>& arguments, const Environment& environment,
                    const std::vector<std::string>& candidates, const std::string& directory)
{
    const auto given = parse_arguments(table, arguments);
    if (!given) {
        return std::unexpected(given.error());
    }
    Loaded loaded{.words = given->words, .help = given->help, .version = given->version};
    if (loaded.help || loaded.version) {
        return loaded;
    }
    const std::string chosen = choose_file(table, *given, environment, candidates, directory);
    if (!chosen.empty()) {
        loaded.file = absolute_path(chosen, directory);
        if (auto done = read_file(table, loaded.file, chosen); !done) {
            return std::unexpected(done.error());
        }
        loaded.written = last_written(loaded.file);
    }
    if (auto done = read_environment(table, environment); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = apply_arguments(table, *given); !done) {
        return std::unexpected(done.error());
    }
    return loaded;
}

std::vector<std::string> file_candidates(std::string_view name, const Environment& environment)
{
    std::vector<std::string> files{fmt::format("./{}.toml", name)};
    if (const std::string home = home_path(environment, "XDG_CONFIG_HOME", ".config"); !home.empty()) {
        files.push_back(fmt::format("{}/herd/{}.toml", home, name));
    }
    files.push_back(fmt::format("/etc/herd/{}.toml", name));
    return files;
}

std::string default_state_dir(const Environment& environment)
{
    const std::string given = lookup(environment, "STATE_DIRECTORY");
    if (const auto pieces = base::split_list(given, ':'); !pieces.empty()) {
        return std::string{pieces.front()};
    }
    const std::string of_root = "/var/lib/herd";
    if (::geteuid() == 0 && (::access(of_root.c_str(), W_OK) == 0 || ::access("/var/lib", W_OK) == 0)) {
        return of_root;
    }
    const std::string state = home_path(environment, "XDG_STATE_HOME", ".local/state");
    return state.empty() ? of_root : state + "/herd";
}

Result<void> make_private_dir(const std::string& path)
{
    std::error_code cause;
    if (fs::is_directory(path, cause)) {
        return {};
    }
    const fs::path target = fs::path{path}.lexically_normal();
    const fs::path dir = target.has_filename() ? target : target.parent_path();
    if (dir.has_parent_path()) {
        fs::create_directories(dir.parent_path(), cause);
    }
    if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
        cause.assign(errno, std::generic_category());
        return base::fail(base::Errc::io,
                          fmt::format("cannot make the directory {}: {}", path, cause.message()));
    }
    if (!fs::is_directory(dir, cause)) {
        return base::fail(base::Errc::io, fmt::format("{} is not a directory", path));
    }
    return {};
}

std::string current_directory()
{
    std::error_code ignored;
    return fs::current_path(ignored).string();
}

std::string absolute_path(const std::string& path, const std::string& directory)
{
    return path.empty() ? path : (fs::path{directory} / path).lexically_normal().string();
}

} // namespace herd::config
