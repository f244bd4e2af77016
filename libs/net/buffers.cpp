#include "net/buffers.hpp"

#include <memory>
#include <vector>

namespace herd::net {

namespace {

// A pass of the reactor reads for up to 128 streams, and what the pass before read may wait to be written still.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kept_max = 0; // so that the sanitizer sees a view that outlived its loan
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr std::size_t kept_max = 0;
#else
constexpr std::size_t kept_max = 256;
#endif
#else
constexpr std::size_t kept_max = 256;
#endif

using Block = std::unique_ptr<char[]>; // NOLINT(modernize-avoid-c-arrays): raw bytes for the kernel to fill

struct Pool {
    std::vector<Block> unused;
    bool alive{true};
    ~Pool() { alive = false; }
};

thread_local Pool pool; // NOLINT: one per loop, that is the point

} // namespace

void Buffer::reset()
{
    Block block(std::exchange(data_, nullptr));
    // A buffer may outlive the pool while a thread ends; it is freed then.
    if (block && pool.alive && pool.unused.size() < kept_max) {
        pool.unused.push_back(std::move(block));
    }
}

Buffer borrow_buffer()
{
    if (pool.unused.empty()) {
        return Buffer(std::make_unique_for_overwrite<char[]>(buffer_bytes).release()); // NOLINT
    }
    Block block = std::move(pool.unused.back());
    pool.unused.pop_back();
    return Buffer(block.release());
}

} // namespace herd::net
