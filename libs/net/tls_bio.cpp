#include "net/tls_bio.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <openssl/bio.h>

namespace herd::net {

namespace {

Below& below_of(::BIO* bio) { return *static_cast<Below*>(::BIO_get_data(bio)); }

int bio_read(::BIO* bio, char* into, std::size_t size, std::size_t* read)
{
    Below& below = below_of(bio);
    ::BIO_clear_retry_flags(bio);
    if (!below.early.empty()) {
        *read = std::min(size, below.early.size());
        std::copy_n(below.early.begin(), *read, into);
        below.early.erase(0, *read);
        below.dry = false;
        return 1;
    }
    const Io io = below.stream->try_read({into, size});
    *read = io.bytes;
    below.dry = !io.done() || io.bytes < size;
    switch (io.state) {
    case Io::State::done: return 1;
    case Io::State::would_block: ::BIO_set_retry_read(bio); break;
    case Io::State::end: below.ended = true; break;
    case Io::State::failed: below.cause = io.cause; break;
    }
    return 0;
}

int bio_write(::BIO* bio, const char* from, std::size_t size, std::size_t* written)
{
    Below& below = below_of(bio);
    ::BIO_clear_retry_flags(bio);
    const std::array<std::string_view, 1> pieces{std::string_view{from, size}};
    const Io io = below.stream->try_write(pieces);
    *written = io.bytes;
    if (io.would_block()) {
        ::BIO_set_retry_write(bio);
    } else if (!io.done()) {
        below.cause = io.cause ? io.cause : std::make_error_code(std::errc::broken_pipe);
    }
    return io.done() ? 1 : 0;
}

long bio_control(::BIO* bio, int command, long /*number*/, void* /*pointer*/)
{
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return below_of(bio).ended ? 1 : 0;
    default: return 0;
    }
}

} // namespace

::BIO* make_bio(Below& below)
{
    static ::BIO_METHOD* const method = [] {
        ::BIO_METHOD* made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "herd stream");
        HERD_ASSERT(made != nullptr && ::BIO_meth_set_read_ex(made, bio_read) == 1
                    && ::BIO_meth_set_write_ex(made, bio_write) == 1 && ::BIO_meth_set_ctrl(made, bio_control) == 1);
        return made;
    }();
    ::BIO* bio = ::BIO_new(method);
    HERD_ASSERT(bio != nullptr);
    ::BIO_set_data(bio, &below);
    ::BIO_set_init(bio, 1);
    return bio;
}

} // namespace herd::net
