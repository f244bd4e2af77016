#pragma once
// One client request and its answer. The phases stand in exchange.cpp in the order in which they happen;
// exchange_commit.cpp has what follows the first byte, exchange_local.cpp what herd answers by itself.
// Internal to the room. docs/LIFE_OF_A_REQUEST.md tells the same story in prose.
#include "http/server.hpp"
#include "proxy/attempt.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/context.hpp"
#include "proxy/kept_bytes.hpp"
#include "proxy/model_ops.hpp"
#include "proxy/profile.hpp"
#include "proxy/routes.hpp"
#include "proxy/stream_tail.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::proxy {

/// A lease that goes back exactly once, whatever happens.
class HeldLease {
public:
    HeldLease(Scheduler& scheduler, fleet::Lease lease, base::Instant now)
        : scheduler_(scheduler), lease_(std::move(lease)), since_(now)
    {
    }
    HeldLease(const HeldLease&) = delete;
    HeldLease& operator=(const HeldLease&) = delete;
    ~HeldLease()
    {
        if (!finished_) {
            finish({.result = fleet::Result::cancelled});
        }
    }
    void finish(fleet::Outcome outcome)
    {
        finished_ = true;
        scheduler_.finished(lease_.id, std::move(outcome));
    }
    [[nodiscard]] bool finished() const { return finished_; }
    [[nodiscard]] const fleet::Lease& lease() const { return lease_; }
    [[nodiscard]] base::Instant since() const { return since_; }

private:
    Scheduler& scheduler_;
    fleet::Lease lease_;
    base::Instant since_;
    bool finished_{false};
};

/// Lives in the frame of Proxy::handle. Thread: its loop.
class Exchange {
public:
    Exchange(Context& context, std::shared_ptr<const Settings> settings, http::ServerExchange& client);
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    ~Exchange();

    /// From the head to the record.
    [[nodiscard]] net::Task<void> run();

    /// What its record would say now.
    [[nodiscard]] InFlight in_flight() const;
    /// The next one of the list that begins at Context::newest.
    [[nodiscard]] const Exchange* older() const { return older_; }

private:
    /// The letters of ExchangeRecord::termination.
    enum class Stage : char { reading = 'R', queued = 'Q', selecting = 'S', connecting = 'C', head = 'H', data = 'D' };
    enum class Next : std::uint8_t { ask, unload, copy, remove, over };
    struct Failure {
        http::ResponseHead head{};
        std::string body{};
        std::string node{};
    };

    // exchange.cpp: the phases
    net::Task<void> answer();
    net::Task<bool> read();
    net::Task<base::Result<void>> fill(std::size_t limit);
    void peek();
    net::Task<Next> understand();
    net::Task<void> serve();
    net::Task<std::expected<fleet::Lease, fleet::Refusal>> acquire(int tries);
    net::Task<Attempt> reach(const HeldLease& held);
    Decision judge(const Attempt& attempt) const;
    void choose_node();
    void fit_body(bool plain); // exchange_body.cpp: what may be changed in it
    void take_model(const fleet::Lease& lease);
    void note_failed(Attempt& attempt, const Decision& decision, HeldLease& held);
    net::Task<void> give_up();
    net::Task<void> refuse(const fleet::Refusal& refusal);

    // exchange_commit.cpp: after the decision
    net::Task<void> relay(Attempt attempt, HeldLease& held);
    std::string last_words(RelayEnd end);
    net::Task<void> before_write();
    void stamp_proxied(http::Fields& fields, const std::string& node, std::size_t retries) const;
    void node_done(HeldLease& held, base::Duration first_byte);
    void finish_relay(const Relayed& relayed, HeldLease& held, base::Duration first_byte);
    [[nodiscard]] fleet::Outcome outcome_of(fleet::Result result, const HeldLease& held) const;

    // exchange_local.cpp: what herd answers by itself
    net::Task<void> answer_locally();
    net::Task<void> unload();
    net::Task<void> copy();
    net::Task<void> remove();
    net::Task<void> to_holders(Broadcast what, const std::string& key, const std::string& model);
    net::Task<void> say(LocalAnswer answer);
    net::Task<void> say(Problem problem, char who = 'P', Stage stage = Stage::reading);
    [[nodiscard]] LocalAnswer not_found() const;
    void stamp(http::Fields& fields) const;
    void ended(char who, Stage stage);
    void client_left(Stage stage);
    void record();

    Context& context_;
    std::shared_ptr<const Settings> settings_;
    const ProxyOptions& options_;
    http::ServerExchange& client_;
    Route route_;
    CorsPolicy::Verdict cors_;
    Wishes wishes_;
    base::Instant began_;
    ExchangeRecord record_;
    Exchange* newer_{nullptr}; ///< in the list of those in flight
    Exchange* older_{nullptr};
    char phase_{'R'};

    std::string body_;
    bool streamed_{false}; ///< body_ is only its beginning
    KeptBytes kept_;
    BodyPeek peek_;
    bool rewritable_{false};    ///< the model's name can be replaced in body_
    std::string model_written_; ///< which is the one that stands there
    ModelReference model_;
    fleet::Profile profile_;
    std::string route_name_; ///< for the memory of old nodes
    bool skipped_old_nodes_{false};
    bool names_model_{false}; ///< sent there because the catalog lists the model

    std::optional<Failure> failure_; ///< the last answer that was not passed on
    StreamTail tail_;
    StreamKind kind_{StreamKind::none};
    TailEnd tail_end_{TailEnd::proper};
    Target target_{}; ///< of the attempt being relayed
    bool reread_{false};
};

} // namespace herd::proxy
