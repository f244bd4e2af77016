#pragma once
// Questions about records, answered from what is on disk and what is only in memory yet. Blocks for the disk.
#include "herd/records/ledger.hpp"

namespace herd::app {

using MaybeReader = std::optional<store::TraceReader>;

/// When the disk cannot be read the answer is what memory holds, with a `note` that says so.
[[nodiscard]] LedgerAnswer answer_list(const MaybeReader& reader, const Ledger::Records& memory, const store::TraceFilter& filter);
[[nodiscard]] LedgerAnswer answer_one(const MaybeReader& reader, const Ledger::Records& memory, const std::string& id);
[[nodiscard]] LedgerAnswer answer_usage(const MaybeReader& reader, const Ledger::Records& memory, const store::UsageQuery& query);

} // namespace herd::app
