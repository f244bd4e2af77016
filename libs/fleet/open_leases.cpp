#include "fleet/open_leases.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <memory>

namespace herd::fleet {
namespace {

constexpr double overdue_share = 0.25; ///< of what it took so far: left of a request that outlived its prediction

} // namespace

double OpenLease::remaining(base::Instant now) const
{
    const double gone = base::seconds(now - granted_at);
    const double overdue = std::max(0.05, overdue_share * (gone - until_decode_s));
    if (!generates || answers == nullptr || each_s <= 0) {
        return std::max(service_s - gone, overdue_share * gone + 0.05);
    }
    if (gone < until_decode_s) {
        return until_decode_s - gone + answers->mean(output_limit) * each_s;
    }
    const double done = (gone - until_decode_s) / each_s;
    if (output_limit > 0 && done >= output_limit) {
        return overdue;
    }
    return answers->remaining(done, output_limit) * each_s;
}

OpenLease& OpenLeases::open()
{
    if (free_.empty()) {
        HERD_ASSERT(table_.size() < (1U << place_bits));
        free_.push_back(static_cast<std::uint32_t>(table_.size()));
        table_.emplace_back();
    }
    const auto place = free_.back();
    free_.pop_back();
    auto& lease = table_[place];
    lease.id = (++last_ << place_bits) | place;
    return lease;
}

OpenLease* OpenLeases::find(LeaseId id)
{
    const auto place = id & ((1U << place_bits) - 1);
    return id != 0 && place < table_.size() && table_[place].id == id ? &table_[place] : nullptr;
}

void OpenLeases::close(OpenLease& lease)
{
    const auto place = place_of(lease);
    std::destroy_at(&lease);
    std::construct_at(&lease);
    free_.push_back(place);
}

} // namespace herd::fleet
