#pragma once
// Saves what the fleet has learned about speeds: every half minute when it changed, and at the end; gives it
// back to the fleet at start. Apart from the pool, which is saved the moment it changes.
#include "herd/fleet_owner.hpp"
#include "net/blocking.hpp"
#include "store/learned_state.hpp"

#include <string>

namespace herd::app {

/// Thread: the fleet loop; the disk is waited for elsewhere.
class RatesKeeper {
public:
    RatesKeeper(net::Loop& loop, FleetOwner& fleet, std::string path);

    /// Hands what was saved to the fleet, and begins to save.
    void restore();
    /// At the end: written before the destructor returns.
    void save_last();

    static constexpr base::Duration interval = std::chrono::seconds{30};

private:
    void save_later();
    void save_if_changed();

    net::Loop& loop_;
    FleetOwner& fleet_;
    std::string path_;
    net::Timer timer_;
    std::string saved_; ///< as it is on the disk, or on its way there
    bool save_failed_{false};
    net::Blocking files_{"herd-rates"}; // last: ends first, while what its answers touch is still there
};

} // namespace herd::app
