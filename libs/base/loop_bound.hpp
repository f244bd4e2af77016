#pragma once
// The thread model, executable: a class that lives on one loop inherits this and asserts it on entry.
#include "base/assert.hpp"

#include <thread>

namespace herd::base {

class LoopBound {
protected:
    /// Binds on first use, then requires the same thread for ever.
    void assert_on_loop() const
    {
        const auto here = std::this_thread::get_id();
        if (owner_ == std::thread::id{}) {
            owner_ = here;
        }
        HERD_ASSERT(owner_ == here);
    }

private:
    mutable std::thread::id owner_{};
};

} // namespace herd::base
