#pragma once
// Questions about records, answered from what is on disk and what is only in memory yet. Blocks for the disk.
#include "herd/records/ledger.hpp"

#include <expected>

namespace herd::app {

using MaybeReader = std::optional<store::TraceReader>;

/// When the disk cannot be read the answer is what memory holds, with a `note` that says so.
[[nodiscard]] LedgerAnswer answer_list(const MaybeReader& reader, const Ledger::Records& memory, const store::TraceFilter& filter);
[[nodiscard]] LedgerAnswer answer_one(const MaybeReader& reader, const Ledger::Records& memory, const std::string& id);
/// Everything in the query's time added up. `note`: why only memory was asked, if so. Errors: an answer that says why not.
[[nodiscard]] std::expected<store::UsageSum, LedgerAnswer> sum_of(const MaybeReader& reader, const Ledger::Records& memory,
                                                                  const store::UsageQuery& query, std::string& note);
/// Those that `filter` wants, newest first.
[[nodiscard]] std::vector<store::RequestRecord> list_of(const MaybeReader& reader, const Ledger::Records& memory,
                                                        const store::TraceFilter& filter, std::string& note);
[[nodiscard]] LedgerAnswer answer_usage(const MaybeReader& reader, const Ledger::Records& memory, const store::UsageQuery& query);

} // namespace herd::app
