#pragma once
// A proxy between a client whose bytes the test writes and nodes that follow a script, all in memory and in
// virtual time, with a scheduler that keeps the books: every lease must come back exactly once.
#include "http/server.hpp"
#include "net/task_group.hpp"
#include "proxy/proxy.hpp"
#include "support/catch.hpp"
#include "support/memory_network.hpp"
#include "support/run.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace herd::proxy::testing {

using namespace std::chrono_literals;

/// What a node does with one request, once it has read it whole.
struct Step {
    enum class Kind : std::uint8_t { send, pause, close, reset, hang };
    Kind kind{Kind::send};
    std::string bytes{};
    base::Duration delay{};
};
using Script = std::vector<Step>;

[[nodiscard]] Step send(std::string bytes);
[[nodiscard]] Step chunk(std::string_view payload); ///< framed
[[nodiscard]] Step pause(base::Duration delay);
[[nodiscard]] Step close();
[[nodiscard]] Step reset();
[[nodiscard]] Step hang(); ///< says nothing until the other side closes
/// Head of a chunked answer.
[[nodiscard]] Step opening(std::string_view type = "application/x-ndjson", int status = 200);
[[nodiscard]] Step end_of_chunks();
/// A whole answer with a length.
[[nodiscard]] Script answer(int status, std::string_view body, std::string_view type = "application/json; charset=utf-8");

struct Seen {
    std::string head{};
    std::string body{};
    [[nodiscard]] bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

/// A box on the network that follows scripts, one per request; the last one again and again.
class Node {
public:
    Node(net::Loop& loop, herd::testing::MemoryWorld& world, std::string name, std::uint8_t number);
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node() = default;
    void stop();

    std::string name;
    base::NodeId id{};
    base::Endpoint endpoint{};
    std::shared_ptr<const std::string> proof{}; ///< what its agent wants to see
    std::vector<Script> scripts{};
    std::function<Script(const Seen&)> answers{}; ///< used when set, instead of scripts
    bool reads_bodies{true}; ///< false: the script begins as soon as the head is there
    std::vector<Seen> seen{};
    int connections{0};
    int closed_by_peer{0}; ///< connections that ended while a script hung, or between requests

private:
    net::Task<void> accept();
    net::Task<void> serve(std::unique_ptr<net::Stream> stream);
    net::Task<bool> follow(net::Stream& stream, Script script);
    net::Loop& loop_;
    std::unique_ptr<net::Network> network_;
    std::unique_ptr<net::Listener> listener_;
    std::set<net::Stream*> streams_;
    net::TaskGroup tasks_;
};

/// Grants the first node that is not excluded (or the pinned one), up to `slots` leases at once; the rest wait.
class BookKeeper final : public Scheduler {
public:
    BookKeeper(net::Loop& loop, std::vector<std::unique_ptr<Node>>& nodes) : loop_(loop), nodes_(nodes) {}

    fleet::Ticket new_ticket() override { return ++last_ticket_; }
    net::Task<std::expected<fleet::Lease, fleet::Refusal>> acquire(fleet::Ticket ticket, fleet::Profile profile) override;
    void cancel(fleet::Ticket ticket) override;
    void finished(fleet::LeaseId lease, fleet::Outcome outcome) override;
    net::Task<fleet::Decision> explain(fleet::Profile profile) override;
    net::Task<std::optional<fleet::Standing>> standing(fleet::Ticket ticket) override;
    std::shared_ptr<const fleet::Snapshot> snapshot() const override { return picture; }
    void tell(fleet::Event event) override { told.push_back(std::move(event)); }
    net::Task<std::shared_ptr<const fleet::Snapshot>> fresh_snapshot() override;

    int slots{1000};
    std::optional<fleet::Refusal> refusal{}; ///< of everything
    std::vector<fleet::Profile> asked{};
    std::map<fleet::LeaseId, std::string> out{};
    std::vector<fleet::Outcome> outcomes{};
    std::vector<fleet::Event> told{};
    std::shared_ptr<const fleet::Snapshot> picture{std::make_shared<fleet::Snapshot>()};
    int waiting{0};
    std::optional<fleet::Standing> stands{}; ///< told of whoever waits
    std::string instead{};                   ///< grants this model in place of the one asked for
    int num_ctx{0};                          ///< Lease::num_ctx of what is granted
    bool tool{false};                        ///< Lease::tool of it

private:
    std::optional<std::expected<fleet::Lease, fleet::Refusal>> choose(const fleet::Profile& profile);
    net::Loop& loop_;
    std::vector<std::unique_ptr<Node>>& nodes_;
    fleet::Ticket last_ticket_{0};
    fleet::LeaseId last_lease_{0};
    std::set<fleet::Ticket> cancelled_;
};

/// Everything together, with one client.
class World {
public:
    explicit World(std::size_t nodes = 1, ProxyOptions options = {}, herd::testing::StreamOptions stream = {});
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    /// Ends everything and checks that nothing was left behind.
    ~World();

    [[nodiscard]] Node& node(std::size_t index) { return *nodes.at(index); }
    /// Writes the snapshot: every node online, with these models.
    void publish(const std::vector<std::string>& models, const std::vector<std::string>& loaded = {});
    void connect(herd::testing::StreamOptions stream = {});
    void type(std::string_view bytes);
    void settle(base::Duration span = 50ms) { time.run_for(loop, span); }
    /// All that came for the client by now; "<end>" or "<reset>" behind it when the connection ended.
    [[nodiscard]] std::string read();
    [[nodiscard]] std::string ask(std::string_view bytes, base::Duration span = 50ms);
    /// A POST with a JSON body.
    [[nodiscard]] std::string post(std::string_view path, std::string_view body, std::string_view fields = {},
                                   base::Duration span = 50ms);

    net::VirtualTime time{};
    net::Loop loop{};
    herd::testing::MemoryWorld net{loop};
    std::vector<std::unique_ptr<Node>> nodes{};
    BookKeeper books{loop, nodes};
    std::unique_ptr<net::Network> network{};
    std::unique_ptr<http::Pool> pool{};
    std::shared_ptr<ProxyShared> shared{std::make_shared<ProxyShared>()};
    std::vector<ExchangeRecord> records{};
    std::unique_ptr<Proxy> proxy{};
    std::unique_ptr<http::Server> server{};
    std::unique_ptr<herd::testing::MemoryStream> client{};
};

/// The body of an answer with a length or in chunks (framing removed).
[[nodiscard]] std::string body_of(std::string_view answer);
[[nodiscard]] std::string field_of(std::string_view answer, std::string_view name);
[[nodiscard]] bool starts(std::string_view answer, std::string_view status_line);

} // namespace herd::proxy::testing
