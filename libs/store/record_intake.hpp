#pragma once
// Records that another program made, taken into the file of ours, while a herd may be writing to it: in short transactions,
// and each of them once however often it is offered. Blocks.
#include "base/error.hpp"
#include "base/time.hpp"
#include "store/request_record.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace herd::store {

/// Thread: one.
class RecordIntake {
public:
    enum class Fate : std::uint8_t {
        taken,
        known,   ///< a record with its id that ended then is there
        no_room, ///< thousands ended at that very moment, or it ended at no time that is possible
    };

    /// Makes the file when there is none, for whom its directory belongs to.
    /// Errors: bad_config (written by another version of herd), malformed, timed_out (locked), io; one sentence.
    [[nodiscard]] static base::Result<RecordIntake> open(const std::string& path);
    RecordIntake(RecordIntake&&) noexcept;
    RecordIntake& operator=(RecordIntake&&) noexcept;
    ~RecordIntake();

    /// What became of the first of `records`, one at least: those that `hold` is enough for, in one transaction. Who writes
    /// besides waits for no longer; leave it time before the next call. Their `seq` counts for nothing.
    [[nodiscard]] base::Result<std::vector<Fate>> take(std::span<const RequestRecord> records, base::Duration hold, const base::Clock& clock);
    /// Of data in the file.
    [[nodiscard]] base::Result<std::uint64_t> bytes();

private:
    struct State;
    explicit RecordIntake(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace herd::store
