#pragma once
// One client request from its head to its record: who asked, what came of it, and the way of the answer back.
// It lives as long as the answer takes, which may be an hour, times thousands; so it is small. What only the
// search for a node needs is in Exchange, which is gone by then. Internal to the room.
#include "base/recycled.hpp"
#include "http/server.hpp"
#include "proxy/ask.hpp"
#include "proxy/attempt.hpp"
#include "proxy/context.hpp"
#include "proxy/frontend.hpp"
#include "proxy/routes.hpp"
#include "proxy/stream_tail.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace herd::proxy {

/// A lease that goes back exactly once, whatever happens.
class HeldLease {
public:
    HeldLease(Scheduler& scheduler, const fleet::Lease& lease, base::Instant now)
        : scheduler_(&scheduler), id_(lease.id), node_(lease.node), since_(now)
    {
    }
    HeldLease(const HeldLease&) = delete;
    HeldLease& operator=(const HeldLease&) = delete;
    ~HeldLease()
    {
        if (!finished()) {
            finish({.result = fleet::Result::cancelled});
        }
    }
    void finish(fleet::Outcome outcome)
    {
        std::exchange(scheduler_, nullptr)->finished(id_, std::move(outcome));
    }
    [[nodiscard]] bool finished() const { return scheduler_ == nullptr; }
    [[nodiscard]] const base::NodeId& node() const { return node_; }
    [[nodiscard]] base::Instant since() const { return since_; }

private:
    Scheduler* scheduler_; ///< null: finished
    fleet::LeaseId id_;
    base::NodeId node_;
    base::Instant since_;
};

/// What a visit has of its frontend; gives its place back when it is destroyed.
struct AtFrontend {
    AtFrontend() = default;
    AtFrontend(const AtFrontend&) = delete;
    AtFrontend& operator=(const AtFrontend&) = delete;
    ~AtFrontend();
    const Frontend* frontend{nullptr};
    std::string target{};  ///< without "/f/ID"; empty: as it came
    bool counted{false};   ///< in FrontendLoad::in_flight
    bool late{false};      ///< total_timeout is over
    std::unique_ptr<net::Deadline> deadline{};
};

/// Thread: its loop.
class Visit final : public base::Recycled<Visit>, private AnswerWatch {
public:
    Visit(Context& context, std::shared_ptr<const Settings> settings, http::ServerExchange& client);
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();

    /// A node's answer is let through: the commit point. Requires: a lease is held, the attempt was good.
    void pass(Attempt&& attempt, const fleet::Lease& lease, const Route& route);
    [[nodiscard]] bool passed() const { return connection_ != nullptr; }
    /// After pass(): the answer to its end, if all of it is here and the client's socket takes it. False: relay() must
    /// follow at once.
    [[nodiscard]] bool give_at_once();
    [[nodiscard]] net::Task<Relayed> relay();
    /// What came of relay().
    void relayed(const Relayed& relayed);
    /// At the end, once.
    void record();

    /// What its record would say now.
    [[nodiscard]] InFlight in_flight() const;
    /// For how long it has not moved at a node or answering, as far as those tell who ask now and then; else 0.
    [[nodiscard]] base::Duration still(base::Instant now);
    /// The next one of the list that begins at Context::newest.
    [[nodiscard]] const Visit* older() const { return older_; }
    [[nodiscard]] Visit* older() { return older_; }
    [[nodiscard]] bool has_id(std::string_view id) const { return record_.id == id; }
    /// It is ended: the node's work is stopped, the client is told in its dialect (where nothing can be told any more its
    /// answer breaks off), the record says P. Asked again, the client's connection is reset: it may not read. `why`: lives
    /// for ever.
    void cancel(std::string_view why);
    [[nodiscard]] bool cancelled() const { return !cancelled_.empty(); }
    /// Null: none.
    [[nodiscard]] const Key* key() const { return caller_ ? caller_->key() : nullptr; }

private:
    friend class Exchange; // the same request, before the decision
    /// The letters of ExchangeRecord::termination.
    enum class Stage : char { reading = 'R', queued = 'Q', selecting = 'S', connecting = 'C', head = 'H', data = 'D' };

    /// Asks Context::access, which is not null. A problem: it is not let in.
    [[nodiscard]] std::optional<Problem> admit();
    net::Task<Relayed> give_rest();
    net::Task<Relayed> relay_kept();
    [[nodiscard]] const ProxyOptions& options() const;
    /// Request target as a node is to see it.
    [[nodiscard]] std::string_view target() const { return at_ && !at_->target.empty() ? std::string_view(at_->target) : std::string_view(client_.head().target); }
    /// From now on total_timeout ends it, in whatever phase: before its answer as cancel() does, after it with the answer.
    void limit_total(); // exchange_frontend.cpp
    [[nodiscard]] bool late() const { return at_ && at_->late; }
    [[nodiscard]] std::string_view late_words() const;
    bool passing(std::span<const std::string_view> pieces) override;
    net::Task<void> before_write() override;
    std::string last_words(RelayEnd end) override;
    [[nodiscard]] std::string words_for(RelayEnd end) const;
    /// Names come from the network: what cannot stand in a field becomes '?'.
    [[nodiscard]] static std::string field_value(std::string_view text);
    void stamp_proxied(http::Fields& fields, std::string_view node, std::size_t retries) const;
    void stamp_compat(http::Fields& fields, const fleet::Lease& lease) const; // compat_headers.cpp
    void stamp(http::Fields& fields) const;
    void node_done();
    void tool_done();
    [[nodiscard]] fleet::Outcome outcome_of(fleet::Result result) const;
    void ended(char who, Stage stage);
    void client_left(Stage stage);
    void spend();

    Context& context_;
    std::shared_ptr<const Settings> settings_;
    http::ServerExchange& client_;
    CorsPolicy::Verdict cors_;
    Handling handling_{};
    char phase_{'R'};
    bool given_{false}; ///< give_at_once() did all but write the end
    StreamKind kind_{StreamKind::none};
    TailEnd tail_end_{TailEnd::proper};
    bool spent_{false};            ///< counted for the key
    char phase_seen_{'R'};         ///< by still(), like the next two
    std::uint64_t bytes_seen_{0};
    base::Instant moved_at_;
    std::string_view cancelled_{}; ///< why; empty: it is not
    base::Instant began_;
    ExchangeRecord record_;
    std::unique_ptr<AtFrontend> at_; ///< null: no frontends are configured
    std::unique_ptr<Caller> caller_; ///< null: anybody, as where there are no keys
    Visit* newer_{nullptr}; ///< in the list of those in flight
    Visit* older_{nullptr};

    std::optional<HeldLease> held_;
    std::unique_ptr<http::ClientConnection> connection_; ///< to the node whose answer is passed on
    std::unique_ptr<PullMemory::Mark> pulling_;          ///< where the model is pulled; null: it is no pull
    std::unique_ptr<Target> reread_;                     ///< its model list is read before the client hears of success
    std::span<const std::string_view> first_;            ///< what was read of the answer's body
    std::string first_text_;                             ///< the same where it had to be kept
    std::string blob_;                                   ///< its digest, where one is uploaded or looked for
    base::Duration first_byte_{};                        ///< since the lease
    StreamTail tail_;
};

static_assert(sizeof(Visit) <= 1024); // the next size that malloc knows costs every open stream 256 bytes

} // namespace herd::proxy
