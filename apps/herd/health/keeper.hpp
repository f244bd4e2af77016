#pragma once
// Keeps the health report up to date: gathers what the checks look at, at a modest rate, runs them, and tells when
// the set of findings changed. It lives on the ledger's loop, where all records pass; the fleet's loop is only
// asked for a snapshot now and then.
#include "discovery/herd_side.hpp"
#include "herd/admin/fleet_status.hpp"
#include "herd/health/steady.hpp"
#include "net/blocking.hpp"
#include "net/mailbox.hpp"
#include "net/task_group.hpp"
#include "proxy/record.hpp"
#include "store/request_record.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::app::health {

/// One look at the program from its main loop.
struct Glance {
    std::shared_ptr<const fleet::Snapshot> fleet{};
    Own own{};
    std::uint64_t records_lost{0}; ///< since the start
};

struct KeeperOptions {
    base::Duration every{std::chrono::seconds{1}};          ///< between two looks at a small fleet
    base::Duration in_flight_every{std::chrono::seconds{5}};
    base::Duration disk_every{std::chrono::seconds{30}};
    base::Duration popular_every{std::chrono::minutes{1}};
    std::string disk_path{};                                ///< where herd keeps its files
};

/// An exchange that an earlier run of herd served.
struct Past {
    base::WallTime ended{};
    Finished exchange{};
};

struct KeeperSources {
    std::function<net::Task<Glance>(net::Loop& asker)> glance{};
    /// What is remembered of earlier runs, oldest first; asked once, before the first look. May be empty.
    std::function<net::Task<std::vector<Past>>(net::Loop& asker)> past{};
    /// Exchanges that do not move, for at least stuck_answering.
    std::function<net::Task<std::vector<Stuck>>(net::Loop& asker)> stuck{};
    /// On the loop, after each look; `changed`: another set of findings than the time before.
    std::function<void(const Report& report, bool changed)> judged{};
    /// On the loop, after the first look and then each popular_every.
    std::function<void(std::map<std::string, History::Popular> models)> popular{};
};

/// Thread: its loop's, unless it says otherwise.
class Keeper {
public:
    Keeper(net::Loop& loop, KeeperOptions options, KeeperSources sources);
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
    ~Keeper();

    /// Thread: any.
    void start();
    /// Returns when nothing of it runs any more. The loops it asks must run until then. Thread: `asker`'s.
    [[nodiscard]] net::Task<void> stop(net::Loop& asker);

    void ended(const store::RequestRecord& record);
    /// Thread: any.
    void heard(const discovery::Sighting& sighting, base::WallTime wall);
    /// Thread: any.
    void late(base::Duration by);
    /// The newest report. Thread: `asker`'s.
    [[nodiscard]] net::Task<std::shared_ptr<const Report>> report(net::Loop& asker);
    /// What became of requests, by node and model. Thread: `asker`'s.
    [[nodiscard]] net::Task<std::map<std::pair<std::string, std::string>, admin::QueueCounts>> counts(net::Loop& asker);

private:
    net::Task<void> look();
    net::Task<void> recall();
    void judge(const Glance& glance);
    void look_at_disk();
    void arm(base::Duration cost);
    void ended_looking();

    net::Loop& loop_;
    const KeeperOptions options_;
    const KeeperSources sources_;
    base::SystemClock clock_;
    History history_;
    Steady steady_;
    std::shared_ptr<const Report> report_;
    std::optional<base::Bytes> disk_total_;
    std::optional<base::Bytes> disk_free_;
    base::Instant disk_at_{};
    base::Instant in_flight_at_{};
    base::Instant popular_at_{};
    std::uint64_t told_lost_{0};
    bool disk_failed_{false};
    struct Held {
        Finished exchange{};
        base::Instant at{};
    };
    std::vector<Held> held_; ///< what ended before the past was recalled
    bool recalled_{false};
    bool looking_{false};
    bool stopping_{false};
    net::Callback stopped_;
    net::Timer timer_;
    net::TaskGroup tasks_;
    net::Mailbox<Heard> heard_;
    std::unique_ptr<net::Blocking> files_;
};

/// What health keeps of a record that wants a model.
[[nodiscard]] Finished finished_of(const store::RequestRecord& record);
[[nodiscard]] Heard heard_of(const discovery::Sighting& sighting, base::WallTime wall);

} // namespace herd::app::health
