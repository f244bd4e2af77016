#pragma once
// Clients of a simulated LAN: they ask, use what they are given for a while, fail where a box is dead, try
// again elsewhere as the proxy would, and sometimes leave. Counts every exchange to its one end.
#include "sim/fleet/world.hpp"

namespace herd::test {

class Clients {
public:
    explicit Clients(World& world);

    /// One exchange: up to three attempts, each holding its place for about `service`.
    void request(fleet::Profile profile, Duration service);
    /// The herd died: every open exchange is lost with it. How many.
    std::size_t forget_all();
    /// A waiting client leaves.
    void lose_patience();

    double node_errors{0};     ///< share of attempts that a living node answers with 5xx
    std::size_t started{0};
    std::size_t served{0};
    std::size_t cancelled{0};
    std::size_t attempts{0};
    std::map<base::Errc, std::size_t> refused{};
    std::size_t to_the_lost{0}; ///< attempts at boxes that were dead when the lease was granted
    [[nodiscard]] std::size_t open() const { return exchanges_.size(); }
    [[nodiscard]] std::size_t failed() const;

private:
    struct Exchange {
        fleet::Profile profile{};
        Duration service{};
    };
    void answered(fleet::Ticket ticket, const Answer& answer);
    void attempt(fleet::Ticket ticket, const fleet::Lease& lease);
    void ended(fleet::Ticket ticket, const fleet::Lease& lease, fleet::Result result);
    [[nodiscard]] std::optional<fleet::Result> trouble(const fleet::Lease& lease);

    World& world_;
    std::map<fleet::Ticket, Exchange> exchanges_{};
};

} // namespace herd::test
