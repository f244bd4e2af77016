#include "herd-node/probes/ollama_process.hpp"

#include "base/text.hpp"
#include "herd-node/probes/text_file.hpp"

#include <algorithm>
#include <limits>

#include <sys/statvfs.h>

namespace herd::node {

namespace {

constexpr std::size_t arguments_limit = 64 * 1024;
constexpr std::size_t environment_limit = 256 * 1024;
constexpr std::size_t table_limit = 16 * 1024 * 1024;
constexpr int slots_max = 1024;

/// The next piece ended by NUL; `bytes` moves behind it.
std::optional<std::string_view> next_piece(std::string_view& bytes)
{
    if (bytes.empty()) {
        return std::nullopt;
    }
    const auto end = bytes.find('\0');
    const auto piece = bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    return piece;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::optional<int> positive(std::string_view text, int most)
{
    const auto value = base::parse_unsigned(base::trim(text));
    if (!value || *value == 0 || *value > static_cast<std::uint64_t>(most)) {
        return std::nullopt;
    }
    return static_cast<int>(*value);
}

bool is_keep_alive(std::string_view text)
{
    return !text.empty() && text.size() <= 16
        && text.find_first_not_of("0123456789.-hmsnu") == std::string_view::npos;
}

/// "…:2CAA": the port of a hexadecimal address.
std::optional<std::uint16_t> port_of(std::string_view address)
{
    const auto colon = address.rfind(':');
    if (colon == std::string_view::npos || address.size() - colon != 5) {
        return std::nullopt;
    }
    std::uint8_t bytes[2] = {};
    if (!base::from_hex(address.substr(colon + 1), bytes)) {
        return std::nullopt;
    }
    return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

/// Calls `each(local address, inode)` for every listening socket on `port` in a table of the kernel's.
template <class Each>
void for_each_listener(std::string_view text, std::uint16_t port, Each each)
{
    (void)next_line(text); // headings
    while (const auto line = next_line(text)) {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
        const auto words = split_blanks(*line);
        if (words.size() >= 10 && words[3] == "0A" && port_of(words[1]) == port) {
            each(words[1], words[9]);
        }
    }
}

/// All process ids under `proc`.
std::vector<int> processes(const std::string& proc)
{
    std::vector<int> pids;
    for (const auto& name : list_directory(proc)) {
        if (const auto pid = base::parse_unsigned(name);
            pid && *pid > 0 && *pid <= std::numeric_limits<int>::max()) {
            pids.push_back(static_cast<int>(*pid));
        }
    }
    return pids;
}

std::string path_of(const std::string& proc, int pid, std::string_view file)
{
    return proc + "/" + std::to_string(pid) + "/" + std::string(file);
}

bool looks_like_serve(const std::string& proc, int pid)
{
    const std::string arguments = read_text(path_of(proc, pid, "cmdline"), arguments_limit).value_or("");
    std::string_view rest = arguments;
    const auto program = next_piece(rest);
    const auto verb = next_piece(rest);
    return program && verb && file_name(*program) == "ollama" && (*verb == "serve" || *verb == "start");
}

bool holds_socket(const std::string& proc, int pid, const std::vector<std::uint64_t>& inodes)
{
    const std::string descriptors = path_of(proc, pid, "fd");
    for (const auto& name : list_directory(descriptors)) {
        const auto target = read_link(descriptors + "/" + name);
        if (!target || !target->starts_with("socket:[") || !target->ends_with(']')) {
            continue;
        }
        const auto inode = base::parse_unsigned(std::string_view(*target).substr(8, target->size() - 9));
        if (inode && std::ranges::find(inodes, *inode) != inodes.end()) {
            return true;
        }
    }
    return false;
}

/// True when the process lives in our network and shows its sockets: had it served our port, it would have
/// been found by it, so it is an Ollama on another port.
bool surely_another(const std::string& proc, int pid)
{
    const auto here = read_link(proc + "/self/ns/net");
    const auto there = read_link(path_of(proc, pid, "ns/net"));
    return here && there && *here == *there && !list_directory(path_of(proc, pid, "fd")).empty();
}

/// The pid serving `port`. Ollamas are asked first; a holder with another name is a container's port
/// forwarder or another program, and says nothing.
std::optional<int> serving_pid(const std::string& proc, std::uint16_t port, const std::vector<int>& pids)
{
    auto inodes = parse_listeners(read_text(proc + "/net/tcp", table_limit).value_or(""), port);
    const auto more = parse_listeners(read_text(proc + "/net/tcp6", table_limit).value_or(""), port);
    inodes.insert(inodes.end(), more.begin(), more.end());
    std::vector<int> candidates;
    for (const int pid : pids) {
        if (looks_like_serve(proc, pid)) {
            candidates.push_back(pid);
        }
    }
    for (const int pid : candidates) {
        if (holds_socket(proc, pid, inodes)) {
            return pid;
        }
    }
    // Its descriptors belong to another user, or it runs in a container: sure only when there is just one.
    if (candidates.size() != 1 || surely_another(proc, candidates.front())) {
        return std::nullopt;
    }
    return candidates.front();
}

std::optional<DiskRoom> room_of(const std::string& directory)
{
    struct ::statvfs info{};
    if (::statvfs(directory.c_str(), &info) != 0 || info.f_blocks == 0) {
        return std::nullopt;
    }
    constexpr std::uint64_t step = 64 * 1024 * 1024;
    const auto rounded = [&](std::uint64_t blocks) { return blocks * info.f_frsize / step * step; };
    return DiskRoom{rounded(info.f_blocks), rounded(info.f_bavail)};
}

/// Its own view of the file system first (it may live in a container); the package's usual place when its
/// environment is closed to us.
std::optional<DiskRoom> models_room(const std::string& root, const std::string& proc, int pid, const std::string& directory)
{
    if (directory.empty()) {
        return room_of(root + "/usr/share/ollama/.ollama/models");
    }
    const auto room = room_of(path_of(proc, pid, "root") + directory);
    return room ? room : room_of(root + directory);
}

} // namespace

std::string parse_models_directory(std::string_view bytes)
{
    std::string home;
    while (const auto piece = next_piece(bytes)) {
        if (piece->starts_with("OLLAMA_MODELS=/")) {
            return std::string(piece->substr(piece->find('=') + 1));
        }
        if (piece->starts_with("HOME=/")) {
            home = std::string(piece->substr(piece->find('=') + 1)) + "/.ollama/models";
        }
    }
    return home;
}

OllamaSettings parse_environ(std::string_view bytes)
{
    OllamaSettings settings;
    while (const auto piece = next_piece(bytes)) {
        const auto equals = piece->find('=');
        if (equals == std::string_view::npos || !piece->starts_with("OLLAMA_")) {
            continue;
        }
        const auto name = piece->substr(0, equals);
        auto value = base::trim(piece->substr(equals + 1));
        if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'')
            && value.back() == value.front()) {
            value = value.substr(1, value.size() - 2); // Ollama strips quotes of unit files as well
        }
        if (name == "OLLAMA_NUM_PARALLEL") {
            settings.num_parallel = positive(value, slots_max);
        } else if (name == "OLLAMA_MAX_LOADED_MODELS") {
            settings.max_loaded_models = positive(value, slots_max);
        } else if (name == "OLLAMA_MAX_QUEUE") {
            settings.max_queue = positive(value, std::numeric_limits<int>::max());
        } else if (name == "OLLAMA_CONTEXT_LENGTH") {
            settings.context_length = positive(value, std::numeric_limits<int>::max());
        } else if (name == "OLLAMA_KEEP_ALIVE" && is_keep_alive(value)) {
            settings.keep_alive = std::string(value);
        }
    }
    return settings;
}

std::optional<Runner> parse_runner(std::string_view bytes)
{
    std::vector<std::string_view> words;
    while (const auto piece = next_piece(bytes)) {
        words.push_back(*piece);
    }
    if (words.empty()) {
        return std::nullopt;
    }
    Runner runner;
    runner.llama_server = file_name(words[0]).starts_with("llama-server");
    const bool old_runner = words.size() > 1 && words[1] == "runner";
    if (!runner.llama_server && !old_runner) {
        return std::nullopt;
    }
    for (std::size_t i = 1; i < words.size(); ++i) {
        auto name = words[i];
        std::string_view value;
        if (const auto equals = name.find('='); name.starts_with("--") && equals != std::string_view::npos) {
            value = name.substr(equals + 1);
            name = name.substr(0, equals);
        } else if (i + 1 < words.size()) {
            value = words[i + 1];
        }
        if (name == "-np" || name == "--parallel") {
            runner.slots = positive(value, slots_max);
        } else if (name == "-c" || name == "--ctx-size") {
            runner.context = positive(value, std::numeric_limits<int>::max());
        } else if (name == "--port") {
            runner.port = static_cast<std::uint16_t>(positive(value, 65535).value_or(0));
        } else if (name == "-m" || name == "--model") {
            runner.blob = std::string(file_name(value).substr(0, 255));
        }
    }
    return runner;
}

std::vector<std::uint64_t> parse_listeners(std::string_view text, std::uint16_t port)
{
    std::vector<std::uint64_t> inodes;
    for_each_listener(text, port, [&](std::string_view /*address*/, std::string_view inode) {
        if (const auto number = base::parse_unsigned(inode)) {
            inodes.push_back(*number);
        }
    });
    return inodes;
}

bool loopback_only(std::uint16_t port, const std::string& root)
{
    bool any = false;
    bool beyond = false;
    for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        const auto text = read_text(root + table, table_limit).value_or("");
        for_each_listener(text, port, [&](std::string_view address, std::string_view /*inode*/) {
            // Words of the address in host order: 127.x.y.z ends with 7F, ::1 is three zero words and 01000000.
            const auto host = address.substr(0, address.find(':'));
            const bool loopback =
                host.size() == 8 ? host.ends_with("7F") : host == "00000000000000000000000001000000";
            any = true;
            beyond = beyond || !loopback;
        });
    }
    return any && !beyond;
}

std::optional<int> parse_parent(std::string_view stat)
{
    // pid (name) state ppid …; the name ends at the last bracket.
    const auto end = stat.rfind(')');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    const auto words = split_blanks(stat.substr(end + 1));
    return words.size() < 2 ? std::nullopt : positive(words[1], std::numeric_limits<int>::max());
}

std::optional<OllamaProcess> find_ollama(std::uint16_t port, const std::string& root)
{
    const std::string proc = root + "/proc";
    const auto pids = processes(proc);
    const auto serving = serving_pid(proc, port, pids);
    if (!serving) {
        return std::nullopt;
    }
    OllamaProcess found;
    found.pid = *serving;
    if (const auto environment = read_text(path_of(proc, found.pid, "environ"), environment_limit)) {
        found.settings = parse_environ(*environment);
        found.disk = models_room(root, proc, found.pid, parse_models_directory(*environment));
    } else {
        found.disk = models_room(root, proc, found.pid, {});
    }
    for (const int pid : pids) {
        if (parse_parent(read_text(path_of(proc, pid, "stat"), 4096).value_or("")) != found.pid) {
            continue;
        }
        if (auto runner =
                parse_runner(read_text(path_of(proc, pid, "cmdline"), arguments_limit).value_or(""))) {
            runner->pid = pid;
            found.runners.push_back(std::move(*runner));
        }
    }
    return found;
}

} // namespace herd::node
