#pragma once
// One client request until its answer's way is clear: one file per phase, in the order below. The visit goes on alone:
// exchange_commit.cpp.
// Internal to the room. docs/LIFE_OF_A_REQUEST.md tells the same story in prose.
#include "http/server.hpp"
#include "proxy/attempt.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/context.hpp"
#include "proxy/early_head.hpp"
#include "proxy/kept_bytes.hpp"
#include "proxy/model_ops.hpp"
#include "proxy/problem.hpp"
#include "proxy/profile.hpp"
#include "proxy/routes.hpp"
#include "proxy/visit.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd::proxy {

/// Lives until the answer's way is clear. Thread: its loop.
class Exchange : public base::Recycled<Exchange> {
public:
    explicit Exchange(Visit& visit);
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    ~Exchange() = default;

    /// From the head to an answer: given by ourselves, or visit.passed().
    [[nodiscard]] net::Task<void> answer();
    /// Instead of it: there is no room for one more.
    [[nodiscard]] net::Task<void> turn_away();

private:
    using Stage = Visit::Stage;
    using Grant = std::expected<fleet::Lease, fleet::Refusal>;
    enum class Next : std::uint8_t { ask, unload, copy, remove, count, refuse, not_found, local };
    struct Failure {
        http::ResponseHead head{};
        std::string body{};
        std::string node{};
    };

    struct Seen {
        std::optional<std::string> unpacked{}; ///< when it came packed
        bool readable{false};                  ///< JSON, as it came or unpacked
        std::string name{};                    ///< of the model, where it stands beside a JSON body
    };

    // exchange.cpp
    net::Task<void> read_and_answer();
    net::Task<void> answer_asked();

    // exchange_read.cpp
    bool read_at_once();
    net::Task<bool> read();
    net::Task<base::Result<void>> fill(std::size_t limit);
    void peek();

    // exchange_understand.cpp
    Next understand();
    Next refused(Problem problem);
    [[nodiscard]] Seen look_into_body();
    std::optional<Next> settled_by_route(const fleet::Snapshot& snapshot, Seen& seen, fleet::Need& need);
    std::optional<Problem> take_nodes(const fleet::Snapshot& snapshot);
    void ask_anyone();
    void fit_to_model(fleet::Need need, const Seen& seen, const fleet::Snapshot& snapshot);

    // exchange_tools.cpp: tools beside nodes, which are asked as models are
    std::optional<Problem> take_any_tool(Seen& seen, const fleet::Snapshot& snapshot);
    std::optional<Problem> not_for_tool(const fleet::Snapshot& snapshot);
    [[nodiscard]] std::string tools_there(const fleet::Snapshot& snapshot) const;
    [[nodiscard]] bool is_seen(const fleet::Snapshot& snapshot, const std::string& key) const;
    [[nodiscard]] Problem no_such_tool(const fleet::Snapshot& snapshot) const;

    // exchange_serve.cpp
    net::Task<void> serve();
    bool acquire_at_once();
    net::Task<void> acquire();
    void choose_node();
    AttemptInput attempt_input();
    Decision judge() const;
    void note_failed(const Decision& decision, HeldLease& held);
    net::Task<void> leave(Stage stage);
    [[nodiscard]] Stage stage_of_attempt() const;
    /// For the memory of old nodes.
    [[nodiscard]] std::string_view route_name() const { return route_.pattern.empty() ? std::string_view(record_.path) : route_.pattern; }

    // exchange_pull.cpp: a model that is on no node, and may be brought to one
    [[nodiscard]] bool may_pull() const;
    net::Task<bool> pull_and_acquire();
    [[nodiscard]] Problem not_pulled(const base::Error& why) const;
    void tell_pulled(base::Duration took);
    [[nodiscard]] std::string pulling_words() const;

    // exchange_refuse.cpp: nobody was granted, or nobody answered
    net::Task<void> refuse(const fleet::Refusal& refusal);
    bool label_is_known() const;
    [[nodiscard]] std::string tried() const;
    net::Task<void> give_up(std::string_view why);

    // exchange_access.cpp: what the key allows
    [[nodiscard]] bool is_liveness() const;
    std::optional<Problem> not_for_caller() const;
    ModelFilter seen_by_caller() const;

    // exchange_frontend.cpp: what the frontend means for it
    void strip_prefix();
    const Frontend* frontend_of_request() const;
    std::optional<Problem> enter_frontend();
    std::optional<Problem> count_at_frontend(AtFrontend& at);
    std::vector<base::NodeId> stubs_of(const std::string& model_key, bool& elsewhere) const;
    std::optional<Problem> not_for_frontend();
    std::optional<Problem> apply_pins(std::optional<std::string>& unpacked, bool& readable);
    std::string bar_pinned_nodes(RequestClass kind);
    std::string_view body_for_node();
    const fleet::Members* members() const;

    // exchange_aliases.cpp
    [[nodiscard]] std::optional<std::string> stands_for(std::string_view text, std::string_view key, const fleet::Snapshot& snapshot) const;
    bool looks_up_alias(const fleet::Snapshot& snapshot);
    std::optional<Problem> resolve_alias(std::optional<std::string>& unpacked, const fleet::Snapshot& snapshot);
    std::optional<Problem> write_alias(std::optional<std::string>& unpacked);

    // exchange_body.cpp: what may be changed in it
    void write_at(Place& at, std::string_view text);
    void fit_body(bool plain);
    void take_context(int tokens);
    void take_model();

    // exchange_early.cpp: a stream that begins before its answer
    [[nodiscard]] bool speaks_early() const;
    net::Task<void> serve_aloud();
    net::Task<void> quiet();
    [[nodiscard]] http::ResponseHead early_head() const;
    net::Task<std::string> early_words();
    [[nodiscard]] bool fits_early_head() const;
    net::Task<void> name_node();
    net::Task<void> tell_in_stream();
    [[nodiscard]] static Problem node_said(int status, std::string_view body);
    net::Task<void> say_in_stream(Problem problem);

    // exchange_local.cpp: what herd answers by itself
    net::Task<void> answer_locally();
    net::Task<void> count_tokens();
    net::Task<void> unload();
    net::Task<void> copy();
    net::Task<void> remove();
    std::optional<Problem> not_to_delete(const fleet::Snapshot& snapshot, const std::vector<Target>& targets) const;
    net::Task<void> to_holders(Broadcast what, const std::string& key, const std::string& model);
    net::Task<void> say(LocalAnswer answer);
    net::Task<void> say(Problem problem, char who = 'P', Stage stage = Stage::reading);
    [[nodiscard]] LocalAnswer not_found() const;
    void ended(char who, Stage stage) { visit_.ended(who, stage); }
    void client_left(Stage stage) { visit_.client_left(stage); }

    // The visit's, by the names they have there.
    Visit& visit_;
    Context& context_;
    const std::shared_ptr<const Settings>& settings_;
    const ProxyOptions* options_; ///< of the frontend, once that is known
    http::ServerExchange& client_;
    Route route_;
    const CorsPolicy::Verdict& cors_;
    const base::Instant& began_;
    ExchangeRecord& record_;
    char& phase_;

    Wishes wishes_;
    std::string body_;
    std::string node_body_;    ///< the same as the node that is tried gets it, where that is otherwise
    bool rewritten_{false};    ///< pins were written into body_, or may be: it is plain JSON
    bool model_pinned_{false}; ///< no fallback takes its place
    bool options_pinned_{false};
    bool streamed_{false}; ///< body_ is only its beginning
    bool unreadable_{false}; ///< packed so that we cannot look into it, though a node might
    KeptBytes kept_;
    BodyPeek peek_;
    bool rewritable_{false};    ///< the model's name can be replaced in body_
    std::string model_written_; ///< which is the one that stands there
    int context_written_{0};    ///< the num_ctx that stands there; 0: none
    ModelReference model_;
    bool one_model_{false}; ///< the body names one in the one way that every server reads alike
    fleet::Profile profile_;
    std::vector<base::NodeId> barred_; ///< nodes that would carry the model into a cloud, or whose pins cannot be written
    std::optional<Problem> unwritable_; ///< what is said when only those of such pins are left
    Problem problem_{}; ///< with Next::refuse
    bool skipped_old_nodes_{false};
    bool names_model_{false}; ///< sent there because the catalog lists the model

    std::optional<Failure> failure_; ///< the last answer that was not passed on
    fleet::Ticket ticket_{0}; ///< of the acquire that waits, or waited last
    Grant granted_{};         ///< its answer
    bool pulling_{false};     ///< it waits until a node has pulled the model
    std::unique_ptr<EarlyHead> early_;
    Attempt attempt_{};
};

} // namespace herd::proxy
