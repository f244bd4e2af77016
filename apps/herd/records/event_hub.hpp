#pragma once
// What viewers of the fleet are told, and when: the difference between two snapshots and the requests that ended,
// at most a few pushes a second whatever happens, each made once and shared by all. A ring of the last pushes lets
// who was cut off go on where it stopped (Last-Event-ID); who was away for longer gets the whole state.
// While nobody watches, nothing is made.
#include "base/loop_bound.hpp"
#include "fleet/snapshot.hpp"
#include "herd/records/event_viewer.hpp"
#include "store/request_record.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app {

struct EventLimits {
    std::size_t viewers{64};
    base::Duration spacing{std::chrono::milliseconds{250}};     ///< between two pushes
    base::Duration load_spacing{std::chrono::seconds{2}};       ///< between two looks at what only moved a little
    base::Duration heartbeat{std::chrono::seconds{15}};         ///< a comment, so that dead clients are found
    base::Duration remember{std::chrono::seconds{60}};          ///< without viewers, until the ring is dropped
    std::size_t requests_per_push{100};                         ///< the newest; the others are counted
    std::size_t ring_bytes{4 * 1024 * 1024};
    std::size_t viewer_chunks{40};
    std::size_t viewer_bytes{16 * 1024 * 1024};
};

/// How the rest of the program says things.
struct EventVoices {
    /// The status document for a snapshot.
    std::function<std::string(const fleet::Snapshot&)> status{};
    /// The `i`th node of a snapshot as JSON.
    std::function<std::string(const fleet::Snapshot&, std::size_t i)> node{};
    std::function<std::string(const store::RequestRecord&)> request{};
};

/// Thread: its loop.
class EventHub : base::LoopBound {
public:
    /// `boot` makes the ids of this run unlike those of the last one: letters and digits.
    EventHub(net::Loop& loop, std::string boot, EventVoices voices, EventLimits limits = {});
    EventHub(const EventHub&) = delete;
    EventHub& operator=(const EventHub&) = delete;

    void snapshot(std::shared_ptr<const fleet::Snapshot> snapshot);
    void ended(std::shared_ptr<const store::RequestRecord> record);
    /// What is wrong now, as JSON: the set of findings changed.
    void health(std::string findings);
    [[nodiscard]] bool watched() const { return !viewers_.empty(); }

    /// Takes a viewer in and returns what it reads first. Nothing: there are too many.
    [[nodiscard]] std::optional<Chunk> join(std::shared_ptr<EventViewer> viewer, std::string_view last_event_id);
    void leave(const EventViewer* viewer);
    /// Ends all streams; no more are taken.
    void close();
    [[nodiscard]] std::size_t viewers() const { return viewers_.size(); }
    [[nodiscard]] std::uint64_t pushes() const { return pushes_; }
    [[nodiscard]] const fleet::Snapshot& latest() const { return *latest_; }
    [[nodiscard]] const EventLimits& limits() const { return limits_; } ///< Thread: any

private:
    /// One push as it went out: events numbered from `first`, event i at offsets[i].
    struct Push {
        std::uint64_t first{0};
        std::vector<std::size_t> offsets{};
        Chunk chunk{};
    };
    /// A push in the making.
    struct Draft {
        std::string text{};
        std::vector<std::size_t> offsets{};
    };
    void wake();
    void push();
    void add(Draft& draft, std::string_view event, std::string_view data);
    void add_nodes(Draft& draft, bool small_changes_too);
    void add_requests(Draft& draft);
    void add_status(Draft& draft);
    void keep(Draft draft);
    void beat();
    void rouse();
    void sleep_soon();
    void forget();
    [[nodiscard]] std::optional<Chunk> since(std::string_view last_event_id) const;
    [[nodiscard]] Chunk whole_state();
    [[nodiscard]] std::string id_text(std::uint64_t number) const { return boot_ + "-" + std::to_string(number); }

    const std::string boot_;
    const EventVoices voices_;
    const EventLimits limits_;
    net::Loop& loop_;
    net::Timer push_timer_;
    net::Timer beat_timer_;
    net::Timer sleep_timer_;
    bool awake_{false}; ///< somebody watches, or did a moment ago
    bool closed_{false};
    bool push_armed_{false};
    base::Instant pushed_at_{};
    base::Instant looked_closely_at_{};
    std::uint64_t last_number_{0};
    std::uint64_t pushes_{0};
    std::vector<std::shared_ptr<EventViewer>> viewers_;
    std::shared_ptr<const fleet::Snapshot> latest_ = std::make_shared<const fleet::Snapshot>();
    std::shared_ptr<const fleet::Snapshot> told_;          ///< what viewers know, big changes
    std::map<base::NodeId, fleet::NodeView> told_nodes_;   ///< as they were last sent
    std::string told_status_;
    std::string health_; ///< empty until something was said
    bool health_is_news_{false};
    std::deque<std::shared_ptr<const store::RequestRecord>> requests_; ///< ended since the last push
    std::uint64_t requests_skipped_{0};
    std::deque<Push> ring_;
    std::size_t ring_bytes_{0};
};

} // namespace herd::app
