#pragma once
// Which context a request's model ran with: what the node showed of it when the request ended. A node is believed only
// where nothing was loaded for the request, for then it may not have told of the new one yet. Pure but for its memory
// of the last snapshot.
#include "base/text_pair.hpp"
#include "fleet/snapshot.hpp"
#include "store/request_record.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace herd::app {

/// Thread: one owner.
class LoadedContexts {
public:
    [[nodiscard]] std::optional<std::int64_t> used_by(const store::RequestRecord& record, const fleet::Snapshot& snapshot);

private:
    void look(const fleet::Snapshot& snapshot);
    std::map<std::pair<std::string, std::string>, std::int64_t, base::TextPairLess> contexts_; ///< by node and display name of the model
    std::uint64_t version_{0};
    bool looked_{false};
};

} // namespace herd::app
