#include "cli/process_end.hpp"

#include <limits>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace herd::cli {

ProcessEnd::ProcessEnd(std::uint64_t pid)
{
    if (pid > 0 && pid <= std::numeric_limits<int>::max()) {
        fd_ = net::Fd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<::pid_t>(pid), 0)));
    }
}

bool ProcessEnd::wait(base::Duration patience) const
{
    if (!fd_.valid()) {
        return true;
    }
    ::pollfd entry{fd_.get(), POLLIN, 0}; // readable when the process has ended
    return ::poll(&entry, 1, static_cast<int>(base::milliseconds(patience))) != 0;
}

} // namespace herd::cli
