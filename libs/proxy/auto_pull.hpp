#pragma once
// Models that a request may bring into the fleet ([models] auto_pull): which ones, and what an exchange that waits for
// such a model shares with whoever has a node pull it. Off while no model is allowed.
// Source: reference/parity.md OH-15.
#include "base/error.hpp"
#include "fleet/model_pattern.hpp"
#include "fleet/snapshot.hpp"
#include "net/timer.hpp"
#include "proxy/profile.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

struct AutoPull {
    std::vector<fleet::ModelPattern> allow{}; ///< empty: nothing is pulled
    base::Duration timeout{};          ///< a request waits no longer for it
    [[nodiscard]] bool allows(std::string_view model_key) const { return fleet::fits_any(allow, model_key); }
};

/// A model that a request names and that none of the nodes has which might serve it.
struct WantedModel {
    std::string key{};                   ///< ModelName::key
    std::string model{};                 ///< to pull
    Wishes wishes{};                     ///< which nodes those are
    std::vector<base::NodeId> exclude{}; ///< and which not
    bool generates{true};                ///< false: embeddings
    std::shared_ptr<const fleet::Snapshot> seen{};
};

/// One exchange's wait for a model. Whoever has it pulled does not keep it: an exchange that ends waits no more.
/// Thread: that of its loop, except answer().
class PullWait : public std::enable_shared_from_this<PullWait> {
public:
    using Answer = base::Result<void>;

    explicit PullWait(net::Loop& loop) : loop_(loop), over_(loop) {}
    /// What came of it: a node has the model; or why none has, in a sentence, or empty when there is none to pull it
    /// (no_such_model), or there is too much to pull already (queue_full). Once. Thread: any.
    void answer(Answer said);
    /// Until answered or stopped.
    [[nodiscard]] net::Task<void> wait() { return over_.wait(); }
    void stop() { over_.notify(); }
    /// Nothing: it was stopped before.
    [[nodiscard]] const std::optional<Answer>& answered() const { return answer_; }

private:
    net::Loop& loop_;
    net::Event over_;
    std::optional<Answer> answer_{};
};

} // namespace herd::proxy
