#pragma once
// The part of the process-wide allowance for kept request bodies that one exchange uses.
#include "base/units.hpp"

#include <atomic>
#include <utility>

namespace herd::proxy {

/// Thread: its loop; the total is shared by all loops.
class KeptBytes {
public:
    KeptBytes(std::atomic<std::uint64_t>& total, base::Bytes limit) : total_(total), limit_(limit) {}
    KeptBytes(const KeptBytes&) = delete;
    KeptBytes& operator=(const KeptBytes&) = delete;
    ~KeptBytes() { give_back(); }
    void give_back() { total_.fetch_sub(std::exchange(mine_, 0), std::memory_order_relaxed); }

    /// False: the allowance of the process is used up, nothing was taken.
    [[nodiscard]] bool grow(base::Bytes by)
    {
        if (total_.fetch_add(by, std::memory_order_relaxed) + by > limit_) {
            total_.fetch_sub(by, std::memory_order_relaxed);
            return false;
        }
        mine_ += by;
        return true;
    }

private:
    std::atomic<std::uint64_t>& total_;
    base::Bytes limit_;
    base::Bytes mine_{0};
};

} // namespace herd::proxy
