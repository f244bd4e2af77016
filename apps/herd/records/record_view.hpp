#pragma once
// From the exchange's record to the store's, and from that to JSON in the contract's shape. Pure.
// Source: design/contract.md 3 (RequestRecord), reference/parity.md 2.10.
#include "proxy/record.hpp"
#include "store/request_record.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace herd::app {

/// Moves what can be moved. `seq` is the caller's business.
[[nodiscard]] store::RequestRecord stored_form(proxy::ExchangeRecord&& record);
/// The same into one that is new, where it is to stay: it is large, and moving it is felt.
void store_form(proxy::ExchangeRecord&& record, store::RequestRecord& into);

/// One JSON object, compact. With `detail` also what only /requests/{id} tells: the decision with all its
/// candidates, and the parts of the node's own time.
[[nodiscard]] std::string record_json(const store::RequestRecord& record, bool detail = false);
/// The same of one that has not ended: status and termination are null, `phase` says what it waits for.
[[nodiscard]] std::string in_flight_json(const proxy::InFlight& exchange);

/// "interactive", "normal", "batch".
[[nodiscard]] std::string_view priority_name(fleet::Priority priority);

} // namespace herd::app
