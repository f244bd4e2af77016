#pragma once
// What the fleet should remember over a restart, written soon after it changed and read once at start.
#include "herd/fleet_owner.hpp"
#include "herd/scout.hpp"
#include "net/blocking.hpp"
#include "store/fleet_state.hpp"

#include <functional>
#include <string>
#include <vector>

namespace herd::app {

/// Thread: the fleet loop; the disk is waited for elsewhere.
class PoolKeeper {
public:
    PoolKeeper(net::Loop& loop, FleetOwner& fleet, Scout& scout, std::string path);

    /// Hands the saved nodes to the fleet; announced ones only with discovery. Returns how many those were.
    std::size_t restore(bool announced_too);
    /// Once the configured nodes are in the fleet: those an operator had drained are drained again, and the fleet
    /// hears which models each node had.
    void recall();
    void save_soon();
    /// Does `work` on this loop and writes down what came of it before it returns. Errors: those of `work`, of the disk.
    /// Thread: any, as a task of `asker`.
    [[nodiscard]] net::Task<base::Result<void>> change(net::Loop& asker, std::function<base::Result<void>()> work);
    /// Why what is to be remembered could not be written last; empty: it was.
    [[nodiscard]] const std::string& fault() const { return fault_; }
    /// At the end: written before the destructor returns.
    void save_last();

private:
    void save_now();
    void written(const base::Result<void>& saved);
    [[nodiscard]] store::FleetState current();

    net::Loop& loop_;
    FleetOwner& fleet_;
    Scout& scout_;
    std::string path_;
    net::Timer timer_;
    store::FleetState recalled_; ///< until recall()
    bool save_pending_{false};
    std::string fault_;
    net::Blocking files_{"herd-files"}; // last: ends first, while what its answers touch is still there
};

} // namespace herd::app
