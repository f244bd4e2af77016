#pragma once
// A LAN in virtual time: many announcers, one herd side, and a network that loses, delays and doubles
// datagrams from one seed. TCP is a coin that always falls right while the node lives: a doubtful sighting is
// confirmed a few milliseconds later, as the membership state machine would do.
#include "base/random.hpp"
#include "discovery/announcer.hpp"
#include "discovery/herd_side.hpp"

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <vector>

namespace herd::sim {

struct NetworkModel {
    double loss{0};
    double duplicate{0};
    base::Duration delay_min{std::chrono::microseconds{100}};
    base::Duration delay_max{std::chrono::microseconds{600}};
};

struct SimNode {
    std::unique_ptr<discovery::Announcer> core{};
    base::Endpoint at{};
    base::Instant started_at{};
    base::Instant timer_at{base::Instant::max()};
    bool cut{false};      ///< partitioned off
    bool running{false};
    std::uint64_t broadcasts{0};
    std::vector<base::Instant> broadcast_times{};
    int losses{0};        ///< Notice::herd_lost
    // What the herd knows of it.
    std::optional<base::Instant> confirmed_at{};
    base::Instant heard_at{};
    base::Duration silence_max{};
    int doubts{0};        ///< doubtful sightings after the first confirmation
    std::uint32_t seq_heard{0};
    int backwards{0};     ///< accepted sightings with a lower seq than before
};

class World {
public:
    World(std::uint64_t seed, NetworkModel model);

    /// Adds a node that starts at `at`.
    std::size_t add_node(base::Instant at);
    void start_herd();
    /// The herd dies without a word, and everything it knew with it.
    void kill_herd();
    void run_until(base::Instant until);
    void run_for(base::Duration span) { run_until(now_ + span); }

    /// The keys of everybody who is added or started from now on.
    void set_keys(discovery::Authenticator keys) { keys_ = std::move(keys); }
    /// Somebody on the LAN sends this to the herd, from an address of his choice.
    void inject(const discovery::Octets& bytes, const base::Endpoint& from);
    /// The last announcements that the herd was sent, as somebody on its LAN sees them.
    std::vector<std::pair<std::size_t, std::shared_ptr<const discovery::Octets>>> overheard{};
    std::size_t overheard_max{0};
    std::uint64_t accepted_forgeries{0}; ///< injected, and believed without a doubt

    [[nodiscard]] base::Instant now() const { return now_; }
    [[nodiscard]] std::vector<SimNode>& nodes() { return nodes_; }
    [[nodiscard]] discovery::HerdSide* herd() { return herd_.get(); }
    /// Nodes confirmed by the herd that runs now.
    [[nodiscard]] std::size_t known() const;
    NetworkModel model{};
    std::uint64_t datagrams{0}; ///< delivered to the herd
    std::uint64_t herd_broadcasts{0};

private:
    struct Event {
        base::Instant at;
        std::uint64_t order;
        std::function<void()> run;
        bool operator<(const Event& other) const { return std::tie(other.at, other.order) < std::tie(at, order); }
    };
    void at(base::Instant when, std::function<void()> run);
    void carry(const discovery::Send& send, std::function<void()> deliver);
    void node_does(std::size_t index, const discovery::NodeActions& actions);
    void herd_does(const std::vector<discovery::Send>& sends);
    void arm_node(std::size_t index);
    void arm_herd();
    void to_herd(std::size_t index, std::shared_ptr<const discovery::Octets> bytes, bool to_group);
    void to_node(std::size_t index, std::shared_ptr<const discovery::Octets> bytes, bool to_group);
    void confirm(std::size_t index);

    base::Rng rng_;
    discovery::Authenticator keys_{};
    base::Instant now_{std::chrono::seconds{10000}};
    std::priority_queue<Event> events_{};
    std::uint64_t order_{0};
    std::vector<SimNode> nodes_{};
    std::map<base::Endpoint, std::size_t> by_endpoint_{};
    std::map<base::Uuid, std::size_t> by_id_{};
    std::unique_ptr<discovery::HerdSide> herd_{};
    base::Instant herd_timer_at_{base::Instant::max()};
    std::uint64_t herd_life_{0};
};

} // namespace herd::sim
