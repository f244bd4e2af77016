#pragma once
// Request records on disk: SQLite in WAL mode, one writer thread. Whoever adds never waits: records queue up to
// a limit and are dropped and counted beyond it. A full disk or a broken file is told once, costs records, and
// nothing else. What was added is committed within moments, so a kill -9 loses less than a second.
// Source: reference/parity.md 2.10 ("Store").
#include "base/time.hpp"
#include "base/units.hpp"
#include "store/request_record.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace herd::store {

/// Whoever shows them, too, holds the same ones.
using SharedRecords = std::vector<std::shared_ptr<const RequestRecord>>;

struct TraceLimits {
    base::Duration retention{std::chrono::hours{24 * 30}};
    base::Bytes max_size{base::gib}; ///< of the data in the file; the oldest records go first
};

struct TraceOptions {
    std::string path{};
    TraceLimits limits{};
    std::size_t queue_max{65536};
};

/// What the store is up to; a moment's picture.
struct TraceHealth {
    std::uint64_t written{0};
    std::uint64_t dropped{0};    ///< queue full, or not written for a fault
    std::uint64_t forgotten{0};  ///< too old, or too many
    std::uint64_t queued{0};
    std::uint64_t bytes{0};      ///< of data, as of the last look
    bool working{true};
    std::string fault{};         ///< why not; one sentence
};

/// Thread: any. The file is opened on the writer thread, which also does the disk's work.
class TraceStore {
public:
    /// `clock` outlives the store.
    TraceStore(TraceOptions options, const base::Clock& clock);
    TraceStore(const TraceStore&) = delete;
    TraceStore& operator=(const TraceStore&) = delete;
    /// Writes what is queued.
    ~TraceStore();

    void add(SharedRecords records);
    /// Call now and then, so that old records go also when nothing is added.
    void tick() { add({}); }
    void set_limits(const TraceLimits& limits);
    [[nodiscard]] TraceHealth health() const;
    [[nodiscard]] const std::string& path() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace herd::store
