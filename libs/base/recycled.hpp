#pragma once
// Memory for objects that come and go with every request and are too big for the quick part of malloc: the blocks
// of those that died serve those that come.
#include <array>
#include <cstddef>
#include <new>

namespace herd::base {

/// To derive T from: `class T : public Recycled<T>`. Thread: each has its own spare blocks, of a bounded number.
template <class T>
class Recycled {
public:
    static void* operator new(std::size_t size)
    {
        if (size == sizeof(T) && spare.count > 0) {
            return spare.blocks[--spare.count];
        }
        return ::operator new(size);
    }
    static void operator delete(void* block, std::size_t size) noexcept
    {
        if (size == sizeof(T) && spare.alive && spare.count < kept_max) {
            spare.blocks[spare.count++] = block;
        } else {
            ::operator delete(block);
        }
    }

protected:
    Recycled() = default;
    ~Recycled() = default;

private:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr std::size_t kept_max = 0; // so that the sanitizer sees what outlived its object
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    static constexpr std::size_t kept_max = 0;
#else
    static constexpr std::size_t kept_max = 32;
#endif
#else
    static constexpr std::size_t kept_max = 32;
#endif

    struct Spare {
        std::array<void*, kept_max + 1> blocks{};
        std::size_t count{0};
        bool alive{true};
        ~Spare()
        {
            alive = false;
            while (count > 0) {
                ::operator delete(blocks[--count]);
            }
        }
    };
    static inline thread_local Spare spare{}; // NOLINT: one per loop, that is the point
};

} // namespace herd::base
