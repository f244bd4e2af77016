#include "cli/output.hpp"

#include <cerrno>
#include <system_error>

#include <poll.h>

namespace herd::cli {

namespace {

bool reader_left(std::FILE* out)
{
    ::pollfd entry{::fileno(out), POLLOUT, 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLERR | POLLHUP)) != 0;
}

} // namespace

int finish_output(std::FILE* out, int code, std::string_view program, std::ostream& err)
{
    errno = 0;
    const bool whole = std::fflush(out) == 0;
    const int why = errno; // 0 when an earlier write failed and nothing is left
    if ((whole && std::ferror(out) == 0) || why == EPIPE || reader_left(out)) {
        return code;
    }
    err << program << ": cannot write to standard output" << (why != 0 ? ": " + std::generic_category().message(why) : "") << '\n';
    return code != 0 ? code : 1;
}

} // namespace herd::cli
