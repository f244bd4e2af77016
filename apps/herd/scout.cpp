#include "herd/scout.hpp"

#include "base/log.hpp"
#include "base/units.hpp"
#include "herd/node_url.hpp"
#include "herd/translate.hpp"
#include "net/timer.hpp"
#include "proxy/heads.hpp"
#include "proxy/model_rows.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

constexpr base::Duration knock_timeout = std::chrono::milliseconds{300};
constexpr base::Duration solicit_spacing = std::chrono::milliseconds{80};
constexpr int solicits = 5;
constexpr base::Duration poll_timeout = std::chrono::seconds{1};
constexpr base::Duration tls_timeout = std::chrono::seconds{2}; // a handshake more, and perhaps a slow path
constexpr base::Duration cloud_timeout = std::chrono::seconds{4};
constexpr std::size_t version_bytes_max = 64 * base::kib;
constexpr std::size_t list_bytes_max = 16 * base::mib;

std::string version_in(std::string_view body)
{
    const auto json = nlohmann::json::parse(body, nullptr, false);
    const bool ok = json.is_object() && json.contains("version") && json["version"].is_string();
    return ok ? json["version"].get<std::string>() : std::string{};
}

/// What an operator should know when an announced API does not answer (lana.md 7).
std::string unreachable_hint(const base::Endpoint& agent, const base::Error& error)
{
    switch (error.code) {
    case base::Errc::refused:
        return "TCP " + agent.text() + " refused: behind Docker or WSL NAT, or a firewall? use host networking or --advertise";
    case base::Errc::timed_out:
        return "TCP " + agent.text() + " does not answer: a firewall on the node? open TCP " + std::to_string(agent.port);
    case base::Errc::unreachable: return "no route to " + agent.text();
    default: return error.context.empty() ? std::string{base::to_string(error.code)} : error.context;
    }
}

} // namespace

Scout::Scout(net::Loop& loop, net::Network& network, FleetOwner& fleet, discovery::InquiryOptions inquiry,
             discovery::ProofBook& proofs, ScoutHooks hooks, NodeSurroundings around)
    : loop_(loop), network_(network), fleet_(fleet), hooks_(std::move(hooks)), around_(std::move(around)),
      pool_(loop, network,
            {.idle_per_endpoint = 2, .idle_total = 4096, .connect_timeout = knock_timeout}),
      proofs_(proofs), inquiry_(loop, pool_, inquiry, proofs), herd_id_(inquiry.herd_id), tasks_(loop, "scout")
{
}

void Scout::carry_out(const fleet::Confirm& wanted)
{
    if (!stopping_) {
        tasks_.spawn("confirm", confirm(wanted));
    }
}

void Scout::carry_out(const fleet::Probe& wanted)
{
    if (!stopping_) {
        tasks_.spawn("probe", probe(wanted));
    }
}

void Scout::carry_out(const fleet::PollStatic& wanted)
{
    if (!stopping_) {
        tasks_.spawn("poll", poll(wanted));
    }
}

void Scout::carry_out(const fleet::Watch& wanted)
{
    carry_out(fleet::Unwatch{wanted.id});
    if (!stopping_) {
        auto canary = std::make_shared<discovery::WatchConnection>(loop_, network_, herd_id_, proofs_.proof(wanted.id));
        watches_[wanted.id] = canary;
        tasks_.spawn("watch", watch(wanted, std::move(canary)));
    }
}

void Scout::carry_out(const fleet::Unwatch& wanted)
{
    if (const auto found = watches_.find(wanted.id); found != watches_.end()) {
        found->second->close();
        watches_.erase(found);
    }
}

net::Task<void> Scout::confirm(fleet::Confirm wanted)
{
    if (wanted.delay > base::Duration::zero()) {
        (void)co_await net::sleep_for(loop_, wanted.delay);
    }
    auto answer = co_await inquiry_.confirm(wanted.id, wanted.agent, wanted.boot_id, wanted.state_rev);
    if (stopping_) {
        co_return;
    }
    if (!answer) {
        if (hooks_.unreachable) {
            hooks_.unreachable(wanted.id, answer.error().code != base::Errc::forbidden); // there, but no member
        }
        fleet_.apply(fleet::NodeConfirmFailed{wanted.id, wanted.agent, answer.error().code,
                                              unreachable_hint(wanted.agent, answer.error())});
        co_return;
    }
    if (hooks_.unreachable) {
        hooks_.unreachable(wanted.id, false);
    }
    fleet::NodeConfirmed confirmed{.id = wanted.id, .agent = wanted.agent, .round_trip = answer->round_trip};
    confirmed.not_modified = !answer->document;
    if (answer->document) {
        confirmed.facts = app::facts_of(*answer->document);
        confirmed.facts.authenticated = answer->authenticated;
        if (hooks_.confirmed) {
            hooks_.confirmed(*answer->document, wanted.agent.address, answer->authenticated);
        }
    }
    fleet_.apply(std::move(confirmed));
}

net::Task<void> Scout::probe(fleet::Probe wanted)
{
    // Datagrams and the connect go out together: the first sign of life counts, whichever it is.
    if (hooks_.solicit && wanted.udp.port != 0) {
        hooks_.solicit(wanted.udp);
        for (int i = 1; i < solicits; ++i) {
            const auto later = std::make_shared<net::Timer>(loop_);
            later->call_after(solicit_spacing * i, [this, later, udp = wanted.udp] {
                if (!stopping_) {
                    hooks_.solicit(udp);
                }
            });
        }
    }
    fleet::ProbeDone done{.id = wanted.id};
    if (wanted.ask) {
        done = co_await ask_version(wanted.id, *wanted.ask);
    } else {
        const base::Instant began = loop_.now();
        auto stream = co_await network_.connect(wanted.tcp, began + knock_timeout);
        done.connected = stream.has_value();
        done.round_trip = loop_.now() - began;
        if (!stream) {
            done.why = stream.error().code;
        }
    }
    if (!stopping_) {
        if (wanted.ask && !done.connected && hooks_.unreachable) {
            hooks_.unreachable(wanted.id, true);
        }
        fleet_.apply(std::move(done));
    }
}

/// Does an Ollama answer where a new node's requests will go? In the same way as they will: under its certificate, with
/// its proof. The gateway's connection is the one that the document came over.
net::Task<fleet::ProbeDone> Scout::ask_version(fleet::NodeId id, fleet::Address address)
{
    http::RequestHead head;
    head.target = "/api/version";
    proxy::address_to(head, address);
    const http::FetchOptions options{.timeout = knock_timeout, .body_bytes_max = version_bytes_max, .trust = address.trust()};
    const auto answer = co_await http::fetch(loop_, pool_, address.endpoint, std::move(head), {}, options);
    fleet::ProbeDone done{.id = id, .asked = true};
    if (!answer) {
        done.why = answer.error().code;
        const bool known = done.why == base::Errc::refused || done.why == base::Errc::timed_out || done.why == base::Errc::unreachable;
        done.hint = known ? std::string{} : answer.error().message(); // for these the fleet has words of its own
    } else if (answer->head.status != 200 || version_in(answer->body).empty()) {
        done.why = base::Errc::malformed;
        done.hint = answer->head.status != 200 ? "the answer has status " + std::to_string(answer->head.status)
                                               : "what answers there is no Ollama";
    } else {
        done.connected = true;
        done.round_trip = answer->took;
    }
    co_return done;
}

net::Task<void> Scout::watch(fleet::Watch wanted, std::shared_ptr<discovery::WatchConnection> canary)
{
    const auto seen = std::make_shared<std::optional<discovery::WatchLine>>();
    const auto on_line = [this, id = wanted.id, seen](const discovery::WatchLine& line) {
        // The first line tells what is current, which may be newer than what was confirmed.
        const bool changed = !*seen || (*seen)->boot_id != line.boot_id || (*seen)->state_rev != line.state_rev
            || (*seen)->state != line.state;
        *seen = line;
        if (changed && !stopping_) {
            fleet_.apply(fleet::NodeChanged{id});
        }
    };
    const base::Error end = co_await canary->run(wanted.agent, on_line);
    if (stopping_ || end.code == base::Errc::cancelled || end.code == base::Errc::unsupported) {
        co_return;
    }
    if (const auto found = watches_.find(wanted.id); found != watches_.end() && found->second == canary) {
        watches_.erase(found);
        fleet_.apply(fleet::CanaryLost{wanted.id, wanted.boot_id});
    }
}

void Scout::enter(StaticNode node, Named how)
{
    const fleet::NodeId id = node.id;
    const auto lacking = [](const StaticNode& one) { return one.manner ? std::string_view{one.manner->lacking} : std::string_view{}; };
    how.revision = revision_ + 1;
    if (const auto known = static_nodes_.find(id); known != static_nodes_.end() && known->second.node.settings == node.settings
        && known->second.node.bearer == node.bearer && lacking(known->second.node) == lacking(node)) {
        node.manner = known->second.node.manner; // kept connections are told apart by it
        how.revision = known->second.revision;
    } else {
        revision_ = how.revision;
    }
    fleet::StaticAdded event = added(node);
    how.node = std::move(node);
    static_nodes_[id] = std::move(how);
    fleet_.apply(std::move(event));
}

void Scout::add_static(StaticNode node) { enter(std::move(node), {}); }

bool Scout::show_ollana(StaticNode node)
{
    const auto known = static_nodes_.find(node.id);
    if (known != static_nodes_.end() && !known->second.ollana) {
        return false;
    }
    enter(std::move(node), {.node = {}, .configured = false, .ollana = true});
    return true;
}

void Scout::remove_static(const fleet::NodeId& id)
{
    static_nodes_.erase(id);
    polled_.erase(id);
    fleet_.apply(fleet::NodeRemoved{id});
}

void Scout::replace_configured(std::vector<StaticNode> nodes)
{
    std::set<fleet::NodeId> wanted;
    for (const StaticNode& node : nodes) {
        wanted.insert(node.id);
    }
    std::vector<fleet::NodeId> gone;
    for (const auto& [id, named] : static_nodes_) {
        if (named.configured && !wanted.contains(id)) {
            gone.push_back(id);
        }
    }
    for (StaticNode& node : nodes) { // the new ones first: who waits for an old one may wait for them
        enter(std::move(node), {.node = {}, .configured = true, .ollana = false});
    }
    for (const fleet::NodeId& id : gone) {
        remove_static(id);
    }
}

bool Scout::is_of_the_file(const fleet::NodeId& id) const
{
    const auto found = static_nodes_.find(id);
    return found != static_nodes_.end() && found->second.configured;
}

const Scout::Named* Scout::named(const fleet::NodeId& id) const
{
    const auto at = static_nodes_.find(id);
    return at == static_nodes_.end() ? nullptr : &at->second;
}

std::vector<StaticNode> Scout::added_at_run_time() const
{
    std::vector<StaticNode> nodes;
    for (const auto& [id, named] : static_nodes_) {
        if (!named.configured && !named.ollana) {
            nodes.push_back(named.node);
        }
    }
    return nodes;
}

std::string why_not_polled(const base::Error& error, base::Duration waited)
{
    // Of many errors the context is the address alone, which is known already.
    const bool bare = error.context.empty() || base::Endpoint::parse(error.context).has_value();
    if (error.code == base::Errc::timed_out) {
        using Tenths = std::chrono::duration<std::int64_t, std::deci>;
        const std::string text = "no answer within " + base::format_duration(std::max(std::chrono::round<Tenths>(waited), Tenths{1}));
        return bare ? text : text + " (" + error.context + ")";
    }
    if (!bare) {
        return error.context;
    }
    switch (error.code) {
    case base::Errc::refused: return "connection refused";
    case base::Errc::unreachable: return "no route to this address";
    case base::Errc::reset:
    case base::Errc::closed: return "the connection was closed before an answer came";
    default: return std::string{base::to_string(error.code)};
    }
}

net::Task<void> Scout::poll(fleet::PollStatic wanted)
{
    const auto named = static_nodes_.find(wanted.id);
    if (named == static_nodes_.end()) {
        co_return;
    }
    const bool full = wanted.full || !polled_.contains(wanted.id);
    auto polled = co_await poll_once(named->second.node, full);
    if (stopping_ || !static_nodes_.contains(wanted.id)) {
        co_return; // removed while we asked
    }
    if (polled.facts) {
        polled_[wanted.id] = *polled.facts;
    }
    fleet_.apply(std::move(polled));
}

net::Task<base::Result<http::Answer>> Scout::get(StaticNode node, fleet::Address address, std::string path, std::string_view method)
{
    http::RequestHead head;
    head.method = method;
    head.target = path;
    proxy::address_to(head, address);
    const http::FetchOptions options{
        .timeout = address.cloud() ? cloud_timeout : address.trust() ? tls_timeout : poll_timeout, .body_bytes_max = list_bytes_max, .trust = address.trust()};
    auto answer = co_await http::fetch(loop_, pool_, address.endpoint, std::move(head), {}, options);
    if (answer && answer->head.status != 200) {
        co_return base::fail(base::Errc::malformed,
                             node.url.text() + path + " answers with status " + std::to_string(answer->head.status),
                             base::Source::node);
    }
    co_return answer;
}

net::Task<fleet::StaticPolled> Scout::poll_once(StaticNode node, bool full)
{
    fleet::StaticPolled polled{.id = node.id};
    polled.address = added(node).address;
    base::Instant asked = loop_.now();
    const auto failed = [&](const base::Error& error) {
        polled.why = error.code;
        polled.hint = why_not_polled(error, loop_.now() - asked);
        return polled;
    };
    const base::HostPort first = first_stop(node);
    const auto addresses = co_await network_.resolve(first.host, loop_.now() + (node.cloud() ? cloud_timeout : poll_timeout));
    if (!addresses && addresses.error().code == base::Errc::unreachable) {
        co_return failed({base::Errc::unreachable, base::Source::node, base::Retry::always,
                          "no address for " + first.host + ": no such host, or its name server does not answer", {}});
    }
    if (!addresses) {
        co_return failed(addresses.error());
    }
    polled.address.endpoint.address = addresses->front();
    const http::Url resolved{.host = addresses->front().text(), .port = first.port};
    if (const std::string why = why_no_node(resolved, around_.listeners, around_.own_addresses); !why.empty()) {
        co_return failed({base::Errc::forbidden, base::Source::node, base::Retry::never,
                          first.host + " is " + resolved.host + ", which " + why, {}});
    }
    fleet::NodeFacts facts;
    if (const auto known = polled_.find(node.id); known != polled_.end()) {
        facts = known->second;
    }
    facts.name = node.name;
    facts.announced = fleet::AnnouncedState::ready;
    facts.api_port = node.url.port;
    facts.gateway = false;
    facts.labels = node.labels;
    facts.slots = node.slots;
    const std::string path = !node.settings.health_path.empty() ? node.settings.health_path
        : node.openai()                                         ? "/v1/models"
        : node.cloud()                                          ? "/api/tags"
                                                                : "/api/version";
    asked = loop_.now();
    const auto health = co_await get(node, polled.address, path, node.settings.health_head ? "HEAD" : "GET");
    if (!health) {
        co_return failed(health.error());
    }
    polled.round_trip = health->took;
    if (path == "/api/version" && !node.settings.health_head) {
        facts.ollama_version = version_in(health->body);
    }
    if (full) {
        asked = loop_.now();
        auto read = co_await read_lists(node, polled.address, std::move(facts));
        if (!read) {
            co_return failed(read.error());
        }
        facts = std::move(*read);
    }
    polled.facts = std::move(facts);
    co_return polled;
}

net::Task<base::Result<fleet::NodeFacts>> Scout::read_lists(const StaticNode& node, const fleet::Address& address,
                                                            fleet::NodeFacts facts)
{
    const std::string path = node.openai() ? "/v1/models" : "/api/tags";
    const auto list = co_await get(node, address, path);
    if (!list) {
        co_return std::unexpected(list.error());
    }
    auto models = node.openai() ? proxy::parse_openai_models(list->body) : proxy::parse_tags(list->body);
    if (!models) {
        co_return base::fail(base::Errc::malformed, path + " is not a list of models", base::Source::node);
    }
    facts.models = std::move(*models);
    if (node.openai() || node.cloud()) {
        facts.loaded.clear(); // what is served there is ready: nobody of ours decides what is in memory
        for (const fleet::Model& model : facts.models) {
            facts.loaded.push_back({.name = model.name, .key = model.key, .digest = model.digest});
        }
        co_return facts;
    }
    // A stalled ps means busy, not dead: what was known of the loaded models stays.
    if (const auto ps = co_await get(node, address, "/api/ps")) {
        facts.loaded = proxy::parse_ps(ps->body).value_or(std::move(facts.loaded));
    }
    co_return facts;
}

void Scout::check_key(const fleet::NodeId& id, std::function<void(std::string)> told)
{
    const auto named = static_nodes_.find(id);
    if (named == static_nodes_.end() || !named->second.node.cloud()) {
        return told({});
    }
    if (named->second.node.manner != nullptr && !named->second.node.manner->lacking.empty()) {
        return told("missing");
    }
    if (stopping_) {
        return told("unknown");
    }
    tasks_.spawn("key", ask_with_key(named->second.node, std::move(told)));
}

/// Lists of a cloud are public: its key is tried where one is needed. What is asked for costs nothing.
net::Task<void> Scout::ask_with_key(StaticNode node, std::function<void(std::string)> told)
{
    const auto addresses = co_await network_.resolve(first_stop(node).host, loop_.now() + cloud_timeout);
    if (!addresses) {
        co_return told("unknown");
    }
    fleet::Address address = added(node).address;
    address.endpoint.address = addresses->front();
    const auto known = polled_.find(node.id);
    const auto model = known == polled_.end() || known->second.models.empty() ? std::string{"llama3"} : known->second.models.front().name;
    http::RequestHead head;
    head.method = "POST";
    head.target = "/api/show";
    head.fields.add("Content-Type", "application/json");
    proxy::address_to(head, address);
    const auto answer = co_await http::fetch(loop_, pool_, address.endpoint, std::move(head), nlohmann::json{{"model", model}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                                             {.timeout = cloud_timeout, .body_bytes_max = list_bytes_max, .trust = address.trust()});
    const int status = answer ? answer->head.status : 0;
    told(status == 401 || status == 403 ? "rejected" : status == 200 || status == 404 ? "configured" : "unknown");
}

net::Task<void> Scout::stop()
{
    stopping_ = true;
    for (const auto& [id, canary] : watches_) {
        canary->close();
    }
    watches_.clear();
    tasks_.cancel();
    co_await tasks_.join();
}

} // namespace herd::app
