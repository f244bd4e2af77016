#include "store/state_file.hpp"

#include "net/socket.hpp"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::store {

namespace {

std::unexpected<base::Error> os_error(std::string context)
{
    const std::error_code cause(errno, std::generic_category());
    const auto code = errno == ENOENT ? base::Errc::not_found : base::Errc::io;
    return std::unexpected(
        base::Error{code, base::Source::self, base::Retry::never, std::move(context), cause});
}

bool write_whole(int fd, std::string_view content)
{
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

std::string directory_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

base::Result<std::string> read_whole(const net::Fd& fd, const std::string& path, std::size_t bytes_max)
{
    std::string content;
    std::string piece(65536, '\0');
    for (;;) {
        const ssize_t length = ::read(fd.get(), piece.data(), piece.size());
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length < 0) {
            return os_error("cannot read " + path);
        }
        if (length == 0) {
            return content;
        }
        content.append(piece, 0, static_cast<std::size_t>(length));
        if (content.size() > bytes_max) {
            return base::fail(base::Errc::too_large, path + " is too large");
        }
    }
}

/// A failure whose sentence has the system's reason in it: these are shown to the person who named the file.
template <class T>
base::Result<T> in_one_sentence(base::Result<T> result)
{
    if (!result && result.error().cause) {
        result.error().context += ": " + std::exchange(result.error().cause, {}).message();
    }
    return result;
}

/// Says first what it is: the mode of what is no file, or not there, is nobody's mistake.
base::Result<net::Fd> open_secret(const std::string& path, ::mode_t forbidden)
{
    net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct ::stat status{};
    if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
        return in_one_sentence<net::Fd>(os_error("cannot read " + path));
    }
    if (S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return in_one_sentence<net::Fd>(os_error("cannot read " + path));
    }
    if ((status.st_mode & forbidden) != 0) { // of the file that is open: nobody can exchange it in between
        return base::fail(base::Errc::bad_config, path + " can be read by others: chmod 600 " + path);
    }
    return fd;
}

} // namespace

base::Result<void> write_state_file(const std::string& path, std::string_view content)
{
    const std::string temporary = path + ".new";
    ::unlink(temporary.c_str()); // left by a crash; O_EXCL below refuses whatever else appears
    net::Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return os_error("cannot write " + temporary);
    }
    if (!write_whole(fd.get(), content) || ::fsync(fd.get()) != 0
        || ::rename(temporary.c_str(), path.c_str()) != 0) {
        auto error = os_error("cannot write " + path);
        ::unlink(temporary.c_str());
        return error;
    }
    const net::Fd directory(::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.valid()) {
        ::fsync(directory.get()); // the name must survive too
    }
    return {};
}

base::Result<std::string> read_state_file(const std::string& path, std::size_t bytes_max)
{
    const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    return fd.valid() ? read_whole(fd, path, bytes_max) : os_error("cannot read " + path);
}

base::Result<std::string> read_secret_file(const std::string& path, std::size_t bytes_max)
{
    const auto fd = open_secret(path, 077);
    return fd ? in_one_sentence(read_whole(*fd, path, bytes_max)) : std::unexpected(fd.error());
}

base::Result<void> check_shared_secret_file(const std::string& path)
{
    const auto fd = open_secret(path, 007);
    return fd ? base::Result<void>{} : std::unexpected(fd.error());
}

void set_aside(const std::string& path) { ::rename(path.c_str(), (path + ".bad").c_str()); }

} // namespace herd::store
