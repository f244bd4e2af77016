#pragma once
// Read buffers on loan. A connection that waits holds none; when it becomes readable it borrows one, and
// gives it back as soon as its bytes are processed. So thousands of idle streams share a few buffers, and
// those are warm in the cache.
#include <cstddef>
#include <span>
#include <utility>

namespace herd::net {

inline constexpr std::size_t buffer_bytes = std::size_t{16} * 1024;

/// One borrowed buffer of `buffer_bytes`, or none. Thread: returned on the thread that borrowed it.
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    Buffer& operator=(Buffer&& other) noexcept
    {
        if (this != &other) {
            reset();
            data_ = std::exchange(other.data_, nullptr);
        }
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { reset(); }

    [[nodiscard]] explicit operator bool() const { return data_ != nullptr; }
    [[nodiscard]] std::span<char> bytes() const { return {data_, data_ != nullptr ? buffer_bytes : 0}; }
    void reset(); ///< gives it back

private:
    friend Buffer borrow_buffer();
    explicit Buffer(char* data) : data_(data) {}
    char* data_{nullptr};
};

/// From this thread's pool; its bytes are unspecified. The pool keeps a bounded number of unused ones.
[[nodiscard]] Buffer borrow_buffer();

} // namespace herd::net
