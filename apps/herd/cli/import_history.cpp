#include "herd/cli/import_history.hpp"

#include "config/load.hpp"
#include "herd/import/ollama_herd_history.hpp"
#include "store/record_intake.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace herd::app {

namespace {

using base::Result;
using Fate = store::RecordIntake::Fate;

constexpr std::size_t rows_a_page = 500;
constexpr std::size_t window = 1024;
constexpr base::Duration hold = std::chrono::milliseconds{25};
constexpr base::Duration pause_min = std::chrono::milliseconds{5};

/// From rows to records to the file, a page at a time.
class Taking {
public:
    Taking(const HistoryJob& job, const base::Clock& clock, HistoryTally& tally)
        : job_(job), clock_(clock), tally_(tally), now_(clock.wall()),
          oldest_(now_ - std::chrono::duration_cast<std::chrono::microseconds>(job.store.retention))
    {
    }

    Result<void> run()
    {
        auto rows = store::ForeignRows::open(job_.database, import::trace_table, import::trace_columns, import::trace_columns_required);
        if (!rows) {
            return std::unexpected(rows.error());
        }
        if (auto made = make_place(); !made) {
            return made;
        }
        auto intake = store::RecordIntake::open(job_.store.path);
        if (!intake) {
            return std::unexpected(intake.error());
        }
        for (bool more = true; more && !tally_.full;) {
            const auto page = rows->next(rows_a_page);
            if (!page) {
                return std::unexpected(page.error());
            }
            more = !page->last;
            understand(*page);
            if (auto done = write(*intake); !done) {
                return done;
            }
        }
        return {};
    }

private:
    /// As herd makes it: the history may come before its first start.
    Result<void> make_place() const
    {
        const bool own = std::filesystem::path(job_.store.path).parent_path() == std::filesystem::path(job_.state_dir + "/").parent_path();
        return own ? config::make_private_dir(job_.state_dir) : Result<void>{};
    }

    void understand(const store::ForeignRows::Page& page)
    {
        tally_.senseless += page.unreadable;
        for (const store::ForeignCells& cells : page.rows) {
            auto trace = import::trace_of(cells, now_);
            if (!trace) {
                ++tally_.senseless;
            } else if (auto rows = window_.add(std::move(*trace))) {
                put(std::move(*rows));
            }
        }
        if (page.last) {
            while (auto rows = window_.next()) {
                put(std::move(*rows));
            }
        }
    }

    void put(import::TraceWindow::Rows rows)
    {
        if (import::may_run(rows, now_)) {
            ++tally_.may_run;
            return;
        }
        const bool lessened = std::ranges::any_of(rows, &import::Trace::lessened);
        auto record = import::record_of(std::move(rows));
        if (record.at < oldest_) {
            ++tally_.too_old;
            return;
        }
        records_.push_back(std::move(record));
        lessened_.push_back(lessened);
    }

    Result<void> write(store::RecordIntake& intake)
    {
        for (std::size_t at = 0; at < records_.size();) {
            const auto bytes = intake.bytes();
            if (!bytes) {
                return std::unexpected(bytes.error());
            }
            if (job_.store.max_size > 0 && *bytes >= job_.store.max_size) { // herd would drop the oldest again
                tally_.full = true;
                break;
            }
            const auto begun = clock_.now();
            const auto fates = intake.take(std::span{records_}.subspan(at), hold, clock_);
            if (!fates) {
                return std::unexpected(fates.error());
            }
            for (const Fate fate : *fates) {
                count(fate, lessened_.at(at++));
            }
            job_.pause(std::max(clock_.now() - begun, pause_min));
        }
        records_.clear();
        lessened_.clear();
        return {};
    }

    void count(Fate fate, bool lessened)
    {
        switch (fate) {
        case Fate::taken:
            ++tally_.taken;
            tally_.lessened += lessened ? 1U : 0U;
            return;
        case Fate::known: ++tally_.known; return;
        case Fate::no_room: ++tally_.senseless; return;
        }
    }

    const HistoryJob& job_;
    const base::Clock& clock_;
    HistoryTally& tally_;
    const base::WallTime now_;
    const base::WallTime oldest_;
    import::TraceWindow window_{window};
    std::vector<store::RequestRecord> records_{}; // of a page
    std::vector<bool> lessened_{};                // which of them
};

/// As people write it in herd.toml.
std::string days_or(base::Duration span)
{
    constexpr base::Duration day = std::chrono::hours{24};
    return span % day == base::Duration{} ? fmt::format("{}d", span / day) : base::format_duration(span);
}

} // namespace

Result<void> take_history(const HistoryJob& job, const base::Clock& clock, HistoryTally& tally)
{
    if (!job.store.enabled) {
        return base::fail(base::Errc::bad_config, "[store] enabled is false: herd keeps no records");
    }
    return Taking(job, clock, tally).run();
}

std::string history_sentence(const HistoryTally& tally, const HerdOptions::Store& store)
{
    std::string text = fmt::format("{} requests of Ollama Herd were taken into {}: {} were there already, {} are older than the {} of [store] retention, {} made no sense",
                                   tally.taken, store.path, tally.known, tally.too_old, days_or(store.retention), tally.senseless);
    if (tally.lessened > 0) {
        text += fmt::format(", {} lack a value that made none", tally.lessened);
    }
    if (tally.may_run > 0) {
        text += fmt::format(", {} may still be running", tally.may_run);
    }
    if (tally.full) {
        text += ", and older ones found no room ([store] max_size)";
    }
    return text + ".";
}

} // namespace herd::app
