#pragma once
// The attempts in progress, in a table of reused places: a lease's id tells its place, so that finding it costs
// nothing. Each carries what was assumed of it, so that its end can be predicted anew at any moment and the fleet
// can learn from how it really went.
#include "fleet/knowledge.hpp"
#include "fleet/profile.hpp"

#include <deque>
#include <memory>
#include <vector>

namespace herd::fleet {

/// What is to be remembered of a lease's end: the conversation is bound to the node when it was served.
struct Binding {
    std::string to{}; ///< Bound::key
    base::Duration lasts{};
};

/// One for each request at a node, which may take an hour, times thousands: so it is small.
struct OpenLease {
    LeaseId id{0}; ///< 0: this place is free
    NodeId node{};
    base::Endpoint endpoint{};
    Need need{Need::slot};
    Priority priority{Priority::normal};
    bool generates{true};
    bool loads{false};             ///< the model was not resident as wanted: it counts in NodeRecord::loads
    std::uint64_t boot_id{0};
    std::uint64_t record{0};       ///< NodeRecord::serial: `model` is good while the node's is the same
    ModelOnNode* model{nullptr};
    base::Instant granted_at{};
    Assumed assumed{};
    std::string client{};
    double service_s{0};           ///< predicted, without risk
    double until_decode_s{0};      ///< load and prefill
    double each_s{0};              ///< per output token
    double output_limit{0};
    std::unique_ptr<const Binding> binding{}; ///< null: none
    const AnswerLengths* answers{nullptr}; ///< of Expectations; lives as long as the fleet

    /// Predicted seconds to the end. Never 0 for one that takes longer than thought.
    [[nodiscard]] double remaining(base::Instant now) const;
};

class OpenLeases {
public:
    OpenLease& open();
    /// Null when the id is of no open lease.
    [[nodiscard]] OpenLease* find(LeaseId id);
    [[nodiscard]] std::uint32_t place_of(const OpenLease& lease) const
    {
        return static_cast<std::uint32_t>(lease.id & ((1U << place_bits) - 1));
    }
    [[nodiscard]] const OpenLease& at(std::uint32_t place) const { return table_[place]; }
    void close(OpenLease& lease);
    [[nodiscard]] std::size_t size() const { return table_.size() - free_.size(); }
    [[nodiscard]] const std::deque<OpenLease>& table() const { return table_; }

private:
    static constexpr int place_bits = 24;

    std::deque<OpenLease> table_{}; // grows without ever needing its memory twice
    std::vector<std::uint32_t> free_{};
    std::uint64_t last_{0};
};

} // namespace herd::fleet
