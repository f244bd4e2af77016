#include "net/child.hpp"

#include "net/socket.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string_view>

#include <asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ; // NOLINT(readability-redundant-declaration): not declared by every unistd.h

namespace herd::net {
namespace {

using Descriptor = ::asio::posix::basic_stream_descriptor<Executor>;

std::unexpected<base::Error> failed(const std::string& what, int error)
{
    return base::fail(error == ENOENT ? base::Errc::not_found : base::Errc::io,
                      what + ": " + std::error_code(error, std::generic_category()).message());
}

/// Pointers as exec wants them. `words` outlives it.
std::vector<char*> pointers(std::vector<std::string>& words)
{
    std::vector<char*> out;
    for (auto& word : words) {
        out.push_back(word.data());
    }
    out.push_back(nullptr);
    return out;
}

std::vector<std::string> environment_of_child()
{
    std::vector<std::string> out;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) { // NOLINT
        if (!std::string_view(*entry).starts_with("HERD_")) {
            out.emplace_back(*entry);
        }
    }
    return out;
}

struct Actions {
    Actions()
    {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&attributes);
    }
    Actions(const Actions&) = delete;
    Actions& operator=(const Actions&) = delete;
    ~Actions()
    {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }
    ::posix_spawn_file_actions_t files{};
    ::posix_spawnattr_t attributes{};
};

/// The pid, or minus errno.
int spawn(ChildOptions& options, int output, int errors)
{
    Actions actions;
    ::sigset_t none{};
    ::sigset_t all{};
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawn_file_actions_addopen(&actions.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions.files, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions.files, errors, STDERR_FILENO);
    ::posix_spawn_file_actions_addclosefrom_np(&actions.files, STDERR_FILENO + 1);
    if (!options.directory.empty()) {
        ::posix_spawn_file_actions_addchdir_np(&actions.files, options.directory.c_str());
    }
    ::posix_spawnattr_setflags(&actions.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    ::posix_spawnattr_setpgroup(&actions.attributes, 0);
    ::posix_spawnattr_setsigmask(&actions.attributes, &none);
    ::posix_spawnattr_setsigdefault(&actions.attributes, &all);
    auto environment = environment_of_child();
    ::pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, options.command.front().c_str(), &actions.files, &actions.attributes,
                                     pointers(options.command).data(), pointers(environment).data());
    return error == 0 ? pid : -error;
}

struct Pipe {
    Fd reads{};
    Fd writes{};
    bool make()
    {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            return false;
        }
        reads = Fd(ends[0]);
        writes = Fd(ends[1]);
        return ::fcntl(reads.get(), F_SETFL, O_NONBLOCK) == 0;
    }
};

} // namespace

struct Child::State : std::enable_shared_from_this<State> {
    State(Loop& loop, ChildOptions given, ::pid_t child, Fd watch, Fd output_pipe, Fd error_pipe)
        : options(std::move(given)), pid(child), process(loop.executor(), watch.release()), output(loop.executor(), output_pipe.release()),
          errors(loop.executor(), error_pipe.release())
    {
    }

    void take(Descriptor& from, std::string_view bytes)
    {
        if (&from == &errors) {
            end.errors += bytes;
            if (end.errors.size() > options.errors_max) {
                end.errors.erase(0, end.errors.size() - options.errors_max);
            }
        } else if (end.output.size() + bytes.size() <= options.output_max) {
            end.output += bytes;
        } else {
            end.too_large = true;
            kill();
        }
    }

    /// Waits, and reads when there is something: a read that had its bytes already when the program was found to have
    /// ended would bring them behind the rest, or too late.
    void read(Descriptor& from)
    {
        from.async_wait(Descriptor::wait_read, [self = shared_from_this(), &from](const std::error_code& error) {
            if (!error && from.is_open() && self->take_some(from) != Got::the_end) {
                self->read(from);
            }
        });
    }

    enum class Got : std::uint8_t { some, nothing_yet, the_end };

    Got take_some(Descriptor& from)
    {
        std::array<char, 16 * 1024> piece; // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
        const ssize_t length = ::read(from.native_handle(), piece.data(), piece.size());
        if (length <= 0) {
            return length < 0 && (errno == EAGAIN || errno == EINTR) ? Got::nothing_yet : Got::the_end;
        }
        take(from, {piece.data(), static_cast<std::size_t>(length)});
        return Got::some;
    }

    /// What is in the pipe already; somebody who left the group may hold its other end for ever.
    void read_rest(Descriptor& from)
    {
        for (int i = 0; i < 1024 && take_some(from) == Got::some; ++i) {
        }
        std::error_code ignored;
        from.close(ignored);
    }

    void kill() noexcept
    {
        if (!reaped) { // until then nobody else has this number
            ::kill(-pid, SIGKILL);
        }
    }

    bool reap()
    {
        if (!reaped) {
            ::siginfo_t info{};
            if (::waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
                return false;
            }
            kill(); // what it left behind
            ::waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED | WNOHANG);
            reaped = true;
            end.well = info.si_code == CLD_EXITED && info.si_status == 0 && !end.too_large;
            end.how = (info.si_code == CLD_EXITED ? "ended with status " : "was killed by signal ") + std::to_string(info.si_status);
        }
        return true;
    }

    ChildOptions options;
    ::pid_t pid;
    Descriptor process;
    Descriptor output;
    Descriptor errors;
    ChildEnd end{};
    bool reaped{false};
};

base::Result<std::unique_ptr<Child>> Child::start(Loop& loop, ChildOptions options)
{
    Pipe output;
    Pipe errors;
    if (!output.make() || !errors.make()) {
        return failed("cannot make a pipe", errno);
    }
    const std::string program = options.command.front();
    const int pid = spawn(options, output.writes.get(), errors.writes.get());
    if (pid < 0) {
        return failed("cannot start " + program, -pid);
    }
    Fd watch(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!watch.valid()) {
        const int error = errno;
        ::kill(-pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return failed("cannot watch " + program, error);
    }
    auto state = std::make_shared<State>(loop, std::move(options), pid, std::move(watch), std::move(output.reads), std::move(errors.reads));
    state->read(state->output);
    state->read(state->errors);
    return std::unique_ptr<Child>(new Child(std::move(state)));
}

Child::Child(std::shared_ptr<State> state) : state_(std::move(state)) {}

Child::~Child()
{
    state_->kill();
    (void)state_->reap();
    std::error_code ignored;
    state_->process.close(ignored);
    state_->output.close(ignored);
    state_->errors.close(ignored);
}

void Child::kill() noexcept { state_->kill(); }

Task<ChildEnd> Child::ended()
{
    const auto state = state_;
    while (!state->reap()) {
        const auto [error] = co_await state->process.async_wait(Descriptor::wait_read, as_result);
        if (error) { // the task was cancelled
            state->kill();
            break;
        }
    }
    state->read_rest(state->output);
    state->read_rest(state->errors);
    state->end.well = state->end.well && !state->end.too_large;
    co_return std::move(state->end);
}

} // namespace herd::net
