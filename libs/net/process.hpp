#pragma once
// Becoming a daemon, without the usual lie: the starter of `herd -d` reports success only when the daemon
// serves, and shows the daemon's own words when it does not. What can fail early (sockets, keys, the pid file)
// is done before the fork, so that most mistakes never reach a background process at all.
//
//     auto lock = PidFile::take("/run/herd.pid");          // in the starter; survives the forks
//     auto startup = daemonize({.program = "herd", .stderr_file = log}, &*lock);
//     …build everything; no thread and no io_context exists before this line…
//     startup->ready();                                    // the starter exits 0
#include "base/error.hpp"
#include "base/time.hpp"
#include "net/socket.hpp"

#include <string>
#include <string_view>

namespace herd::net {

/// A pid file held with flock for as long as the process lives. The kernel drops the lock with the last copy
/// of the descriptor, so a crash leaves no stale lock, whatever the file still says.
/// Thread: one owner. The destructor removes the file.
class PidFile {
public:
    /// Locks `path` (made if missing, 0644) and writes our pid.
    /// Errors: conflict ("herd.pid is held by process 4711"), io.
    [[nodiscard]] static base::Result<PidFile> take(const std::string& path);
    PidFile(PidFile&& other) noexcept;
    PidFile& operator=(PidFile&& other) noexcept;
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    ~PidFile();
    /// Writes the pid of this process, after a fork.
    [[nodiscard]] base::Result<void> rewrite() const;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    PidFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
    void remove() noexcept;
    std::string path_;
    Fd fd_;
};

/// The daemon's line to whoever started it. In the foreground every call does nothing.
/// Destroying it before ready() tells the starter that the daemon ended early.
class Startup {
public:
    Startup() = default; ///< foreground
    Startup(Startup&&) = default;
    Startup& operator=(Startup&&) = default;
    Startup(const Startup&) = delete;
    Startup& operator=(const Startup&) = delete;
    ~Startup();
    /// The starter exits 0; standard output and error leave the terminal.
    void ready();
    /// After ready(), when the file of standard error was moved away: on with a new one.
    void reopen_stderr() const;
    /// The starter prints the sentence and exits 1. The daemon should end now.
    void failed(std::string_view sentence);

private:
    friend base::Result<Startup> daemonize(const struct DaemonOptions& options, const PidFile* pid_file);
    Startup(Fd pipe, std::string stderr_file) : pipe_(std::move(pipe)), stderr_file_(std::move(stderr_file))
    {
    }
    Fd pipe_{};
    std::string stderr_file_{};
};

struct DaemonOptions {
    std::string program{};     ///< begins the starter's sentences
    std::string stderr_file{}; ///< where stray output goes once ready; empty: nowhere
    base::Duration ready_within{std::chrono::seconds{60}}; ///< then the starter gives up and ends the daemon
};

/// Forks twice and returns in the daemon only: own session, working directory `/`, standard input from
/// /dev/null, `pid_file` (may be null) rewritten. The starter waits inside for ready() and exits.
/// Requires: no other thread. Errors: io, in the starter, when it cannot fork.
[[nodiscard]] base::Result<Startup> daemonize(const DaemonOptions& options, const PidFile* pid_file);

} // namespace herd::net
