#include "net/process.hpp"

#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace herd::net {

namespace {

// What the daemon tells its starter: "P<pid>\n" first, then one of these with its text until the end.
constexpr char says_pid = 'P';
constexpr char says_ready = 'R';
constexpr char says_failed = 'F';

/// A whole sentence: these errors are printed as they are.
std::unexpected<base::Error> os_error(const std::string& context)
{
    return base::fail(base::Errc::io,
                      context + ": " + std::error_code(errno, std::generic_category()).message());
}

void write_whole(int fd, std::string_view text)
{
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; // the reader is gone: nobody is left to be told
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::string pid_in(int fd)
{
    std::array<char, 32> buffer{};
    const ssize_t length = ::pread(fd, buffer.data(), buffer.size(), 0);
    const std::string_view text =
        base::trim({buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0});
    return base::parse_unsigned(text) ? std::string{text} : std::string{};
}

/// True when the path still names the file behind `fd`: its last holder may have removed it meanwhile.
bool still_there(const std::string& path, int fd)
{
    struct ::stat by_path{};
    struct ::stat by_fd{};
    return ::stat(path.c_str(), &by_path) == 0 && ::fstat(fd, &by_fd) == 0 && by_path.st_ino == by_fd.st_ino
        && by_path.st_dev == by_fd.st_dev;
}

constexpr int to_stderr_file = O_WRONLY | O_CREAT | O_APPEND;

void point_at(int standard_fd, const std::string& path, int flags)
{
    const Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0640));
    if (fd.valid()) {
        ::dup2(fd.get(), standard_fd);
    }
}

/// What the starter has heard so far.
struct Heard {
    ::pid_t daemon{0};
    char verdict{0};
    std::string text{};

    void take(std::string_view bytes)
    {
        text += bytes;
        if (daemon == 0 && text.starts_with(says_pid)) {
            if (const auto end = text.find('\n'); end != std::string::npos) {
                daemon = static_cast<::pid_t>(
                    base::parse_unsigned(std::string_view{text}.substr(1, end - 1)).value_or(0));
                text.erase(0, end + 1);
            }
        }
        if (verdict == 0 && !text.empty() && (text.front() == says_ready || text.front() == says_failed)) {
            verdict = text.front();
            text.erase(0, 1);
        }
    }
};

/// Reads until the daemon closes the pipe. False when the time passed first.
bool listen_to(int pipe, base::Duration patience, Heard& heard)
{
    const base::SystemClock clock;
    const auto until = clock.now() + patience;
    std::array<char, 1024> buffer{};
    for (;;) {
        ::pollfd entry{pipe, POLLIN, 0};
        const auto left = base::milliseconds(until - clock.now());
        const int ready = left > 0 ? ::poll(&entry, 1, static_cast<int>(left)) : 0;
        if (ready == 0) {
            return false;
        }
        const ssize_t length = ready > 0 ? ::read(pipe, buffer.data(), buffer.size()) : -1;
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length <= 0) {
            return true;
        }
        heard.take({buffer.data(), static_cast<std::size_t>(length)});
    }
}

[[noreturn]] void wait_as_starter(const DaemonOptions& options, ::pid_t middle, int pipe)
{
    while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
    }
    Heard heard;
    const bool ended = listen_to(pipe, options.ready_within, heard);
    if (heard.verdict == says_ready) {
        ::_exit(0);
    }
    std::string sentence = heard.verdict == says_failed ? std::string{base::trim(heard.text)} : std::string{};
    if (!ended && heard.daemon > 0) {
        ::kill(heard.daemon, SIGKILL);
        sentence = "the daemon was not ready in time and was ended";
    } else if (sentence.empty()) {
        sentence = "the daemon ended before it was ready";
    }
    if (!options.stderr_file.empty() && heard.verdict != says_failed) {
        sentence += "; its log is " + options.stderr_file;
    }
    write_whole(STDERR_FILENO, options.program + ": " + sentence + "\n");
    ::_exit(1);
}

} // namespace

base::Result<PidFile> PidFile::take(const std::string& path)
{
    for (int attempt = 0; attempt < 10; ++attempt) {
        Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
        if (!fd.valid()) {
            return os_error("cannot open the pid file " + path);
        }
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK) {
                return os_error("cannot lock the pid file " + path);
            }
            const std::string holder = pid_in(fd.get());
            return base::fail(base::Errc::conflict,
                              path + " is held by "
                                  + (holder.empty() ? "another process" : "process " + holder)
                                  + ", which runs already");
        }
        if (still_there(path, fd.get())) {
            PidFile file(path, std::move(fd));
            if (auto written = file.rewrite(); !written) {
                return std::unexpected(written.error());
            }
            return file;
        }
    }
    return base::fail(base::Errc::conflict, "the pid file " + path + " changes hands all the time");
}

PidFile::PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_))
{
}

PidFile& PidFile::operator=(PidFile&& other) noexcept
{
    if (this != &other) {
        remove();
        path_ = std::exchange(other.path_, {});
        fd_ = std::move(other.fd_);
    }
    return *this;
}

PidFile::~PidFile() { remove(); }

void PidFile::remove() noexcept
{
    if (fd_.valid()) {
        ::unlink(path_.c_str()); // while still locked, so that nobody can hold the name we remove
        fd_.reset();
    }
}

base::Result<void> PidFile::rewrite() const
{
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd_.get(), 0) != 0
        || ::pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
        return os_error("cannot write the pid file " + path_);
    }
    return {};
}

Startup::~Startup()
{
    if (pipe_.valid()) {
        failed("the daemon ended before it was ready");
    }
}

void Startup::ready()
{
    if (!pipe_.valid()) {
        return;
    }
    std::fflush(nullptr);
    point_at(STDOUT_FILENO, "/dev/null", O_WRONLY);
    point_at(STDERR_FILENO, stderr_file_.empty() ? "/dev/null" : stderr_file_, to_stderr_file);
    write_whole(pipe_.get(), std::string{says_ready});
    pipe_.reset();
}

void Startup::reopen_stderr() const
{
    if (!pipe_.valid() && !stderr_file_.empty()) {
        point_at(STDERR_FILENO, stderr_file_, to_stderr_file);
    }
}

void Startup::failed(std::string_view sentence)
{
    if (!pipe_.valid()) {
        return;
    }
    write_whole(pipe_.get(), says_failed + std::string{sentence});
    pipe_.reset();
}

base::Result<Startup> daemonize(const DaemonOptions& options, const PidFile* pid_file)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return os_error("cannot make a pipe");
    }
    Fd hears(ends[0]);
    Fd tells(ends[1]);
    std::fflush(nullptr); // else each process would write what is buffered
    const ::pid_t middle = ::fork();
    if (middle < 0) {
        return os_error("cannot fork");
    }
    if (middle > 0) {
        tells.reset();
        wait_as_starter(options, middle, hears.get());
    }
    // The middle process leads the new session; its child, which does not, can never get a terminal.
    hears.reset();
    ::setsid();
    const ::pid_t daemon = ::fork();
    if (daemon != 0) {
        if (daemon < 0) {
            write_whole(tells.get(), std::string{says_failed} + "cannot fork");
        }
        ::_exit(0);
    }
    std::signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c): a starter that was interrupted must not end us
    write_whole(tells.get(), says_pid + std::to_string(::getpid()) + "\n");
    point_at(STDIN_FILENO, "/dev/null", O_RDONLY);
    Startup startup(std::move(tells), options.stderr_file);
    if (::chdir("/") != 0) {
        startup.failed("cannot enter the directory /");
        ::_exit(1);
    }
    if (pid_file != nullptr) {
        if (const auto written = pid_file->rewrite(); !written) {
            startup.failed(written.error().message());
            ::_exit(1);
        }
    }
    return startup;
}

} // namespace herd::net
