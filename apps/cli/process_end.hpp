#pragma once
// Waiting for a process of this machine to be gone, without owning it and without being fooled by zombies or
// reused numbers: a pidfd, opened while it still runs.
#include "base/time.hpp"
#include "net/socket.hpp"

#include <cstdint>

namespace herd::cli {

class ProcessEnd {
public:
    /// Watches nothing when there is no such process, or the kernel is too old for pidfd_open (before 5.3).
    explicit ProcessEnd(std::uint64_t pid);
    /// True when the process ended (or nothing is watched) within `patience`. Blocks.
    [[nodiscard]] bool wait(base::Duration patience) const;

private:
    net::Fd fd_;
};

} // namespace herd::cli
