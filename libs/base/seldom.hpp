#pragma once
// Something worth saying, but not each time it happens: what a stranger can cause must not fill a disk with lines.
#include "base/time.hpp"

#include <optional>

namespace herd::base {

/// Thread: its owner's.
class Seldom {
public:
    explicit Seldom(Duration span) : span_(span) {}

    /// True the first time, and then not again until `span` has passed since it last was.
    [[nodiscard]] bool due(Instant now)
    {
        if (last_ && now - *last_ < span_) {
            return false;
        }
        last_ = now;
        return true;
    }

private:
    Duration span_;
    std::optional<Instant> last_{};
};

} // namespace herd::base
