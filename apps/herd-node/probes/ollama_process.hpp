#pragma once
// What only a neighbour can see: the process that serves Ollama's port, the settings in its environment, and
// its runner children with their slots and contexts. All of it comes from /proc, all of it may be
// unreadable (another user's processes, containers), and then simply stays unknown.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::node {

/// The settings that decide how an Ollama serves. Nothing else is taken from its environment: secrets live
/// there too.
struct OllamaSettings {
    std::optional<int> num_parallel{};            ///< OLLAMA_NUM_PARALLEL; 0 is "automatic" and stays empty
    std::optional<int> max_loaded_models{};       ///< OLLAMA_MAX_LOADED_MODELS; likewise
    std::optional<int> max_queue{};               ///< OLLAMA_MAX_QUEUE
    std::optional<std::int64_t> context_length{}; ///< OLLAMA_CONTEXT_LENGTH
    std::string keep_alive{}; ///< OLLAMA_KEEP_ALIVE as written ("5m", "-1"); empty: default
    bool operator==(const OllamaSettings&) const = default;
};
/// `bytes`: NAME=VALUE pieces ended by NUL, as in /proc/PID/environ.
[[nodiscard]] OllamaSettings parse_environ(std::string_view bytes);

/// A process that runs one model: `llama-server …` (Ollama ≥ 0.30) or `ollama runner …` (older).
struct Runner {
    int pid{0};
    std::uint16_t port{0};
    std::optional<int> slots{};
    std::optional<std::int64_t> context{}; ///< of all slots together
    std::string blob{};                    ///< file name of the weights: "sha256-…"
    bool llama_server{false};              ///< has /slots
    bool operator==(const Runner&) const = default;
};
/// `bytes`: arguments ended by NUL, as in /proc/PID/cmdline. Empty when it is no runner.
[[nodiscard]] std::optional<Runner> parse_runner(std::string_view bytes);

/// Socket inodes that listen on TCP `port`, from the text of /proc/net/tcp or tcp6.
[[nodiscard]] std::vector<std::uint64_t> parse_listeners(std::string_view text, std::uint16_t port);

/// True when something listens on TCP `port`, and only on loopback addresses: others cannot reach it.
[[nodiscard]] bool loopback_only(std::uint16_t port, const std::string& root = "");

/// The parent's pid out of /proc/PID/stat; the name in it may hold anything, brackets too.
[[nodiscard]] std::optional<int> parse_parent(std::string_view stat);

/// Where that process keeps its models: OLLAMA_MODELS, else .ollama/models under HOME. Empty: it does not say.
/// `bytes` as for parse_environ.
[[nodiscard]] std::string parse_models_directory(std::string_view bytes);

/// A file system's room, rounded down to 64 MiB.
struct DiskRoom {
    std::uint64_t total{0};
    std::uint64_t free{0};
    bool operator==(const DiskRoom&) const = default;
};

struct OllamaProcess {
    int pid{0};
    std::optional<OllamaSettings> settings{}; ///< empty: the environment is not readable
    std::vector<Runner> runners{};
    std::optional<DiskRoom> disk{}; ///< of the file system with its models; empty: cannot be seen
    bool operator==(const OllamaProcess&) const = default;
};

/// Looks for the Ollama that listens on `port`: by its socket where descriptors are readable, else the only
/// process on the box that looks like `ollama serve`. Walks all of `root`/proc: milliseconds, more on a
/// crowded box, so it belongs on a worker. Thread: any.
[[nodiscard]] std::optional<OllamaProcess> find_ollama(std::uint16_t port, const std::string& root = "");

} // namespace herd::node
