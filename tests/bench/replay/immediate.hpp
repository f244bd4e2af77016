#pragma once
// The frame of every baseline: candidates, retries, own counts. Who derives from it says which candidate.
#include "base/random.hpp"
#include "policy.hpp"

#include <algorithm>
#include <map>

namespace herd::replay {

class Immediate : public Policy {
public:
    explicit Immediate(Host& host);
    void arrive(int request, const std::vector<int>& tried) override;
    void ended(int request, int node, const Ended& ended) override;
    void node_changed(int node) override;
    void memory_changed(int /*node*/) override {}

protected:
    static constexpr std::size_t retries_max = 2; ///< parity.md 2.8

    /// One of `candidates` (never empty), or −1: nobody will do now.
    virtual int choose(int request, const std::vector<int>& candidates) = 0;
    virtual void sent(int /*request*/, int /*node*/) {}
    virtual void learn(int /*request*/, int /*node*/, const Ended& /*ended*/) {}
    [[nodiscard]] int least_busy(const std::vector<int>& candidates);

    Host& host; // NOLINT(cppcoreguidelines-non-private-member-variables-in-classes): a frame, all in this folder
    base::Rng rng;
    std::vector<bool> up;
    std::vector<int> in_flight;

private:
    void nowhere(int request, const std::vector<int>& tried);
    std::map<int, int> held_{};
};

} // namespace herd::replay
