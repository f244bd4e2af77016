#include "herd/sync/keeper.hpp"

#include "base/log.hpp"
#include "herd/admin/views.hpp"
#include "herd/sync/pull_stream.hpp"
#include "proxy/heads.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::app::sync {

namespace {

using Json = nlohmann::ordered_json;

constexpr base::Duration connect_patience = std::chrono::seconds{5};
constexpr base::Duration listing_step = std::chrono::milliseconds{100};

http::RequestHead head_of(const fleet::Address& address, std::size_t body_bytes)
{
    http::RequestHead head;
    head.method = "POST";
    head.target = "/api/pull";
    head.framing = http::Framing::length;
    head.content_length = body_bytes;
    head.fields.add("Content-Type", "application/json");
    proxy::address_to(head, address);
    return head;
}

std::string words_of(const base::Error& error)
{
    return error.context.empty() ? std::string{base::to_string(error.code)} : error.context;
}

/// Why nothing more comes from this node; empty: something may.
std::string lost(const fleet::Snapshot& snapshot, const fleet::NodeId& id)
{
    using enum fleet::NodeState;
    const fleet::NodeView* node = snapshot.find(id);
    if (node == nullptr) {
        return "it was removed";
    }
    const bool gone = node->state == offline || node->state == unreachable;
    return gone ? "it is " + std::string{fleet::to_string(node->state)} : std::string{};
}

void tell(const std::weak_ptr<proxy::PullWait>& waiting, proxy::PullWait::Answer answer)
{
    if (const auto still = waiting.lock()) {
        still->answer(std::move(answer));
    }
}

bool lists(const fleet::Snapshot& snapshot, const Pull& wanted)
{
    const fleet::NodeView* node = snapshot.find(wanted.node);
    return node != nullptr && node->facts
           && std::ranges::find(node->facts->models, wanted.key, &fleet::Model::key) != node->facts->models.end();
}

/// What requests brought about: what is pulled, and what failed.
template <class At>
Json asked_json(const Asked& asked, const proxy::PullMemory& pulls, const At& at)
{
    Json rows = Json::array();
    for (const auto& [pair, each] : asked.pending()) {
        Json row{{"model", each.pull.model}, {"node", each.pull.node_name}, {"node_id", pair.second.text()}, {"state", to_string(each.running ? State::pulling : State::queued)}};
        if (const auto pull = pulls.furthest(pair.first); each.running && pull) {
            row["percent"] = pull->percent;
        }
        rows.push_back(std::move(row));
    }
    for (const auto& [which, failure] : asked.failures()) {
        rows.push_back({{"model", failure.model}, {"state", to_string(State::failed)}, {"reason", failure.reason}, {"failures", failure.failures}, {"next_try", at(failure.next_try)}});
    }
    return rows;
}

} // namespace

Keeper::Keeper(net::Loop& loop, net::Network& network, FleetOwner& fleet, proxy::PullMemory& pulls, base::Rng rng, KeeperOptions options)
    : loop_(loop), fleet_(fleet), pulls_(pulls), options_(options), pool_(loop, network, http::PoolOptions{.connect_timeout = connect_patience}),
      plan_(base::Rng(rng.next()), options.limits), asked_(base::Rng(rng.next()), options.asked), timer_(loop), nodes_timer_(loop), tasks_(loop, "sync")
{
}

void Keeper::require(std::vector<Requirement> wanted)
{
    plan_.require(std::move(wanted));
    if (!plan_.idle()) {
        arm({});
    }
}

void Keeper::retry(std::string_view model, std::string_view node)
{
    plan_.retry(model, node);
    if (node.empty()) {
        asked_.retry(model);
    }
    if (!plan_.idle()) {
        arm({});
    }
}

void Keeper::arm(base::Duration in)
{
    timer_.call_after(in, [this] { look(); });
}

void Keeper::look()
{
    if (stopping_) {
        return;
    }
    for (Pull& each : plan_.step(*fleet_.publish(), loop_.now())) {
        log::info("sync", "pull_started", {{"model", each.model}, {"node", each.node_name}});
        tasks_.spawn("pull", pull_required(std::move(each)));
    }
    if (!plan_.idle()) {
        arm(options_.every);
    }
}

net::Task<void> Keeper::pull_required(Pull wanted)
{
    const std::string error = co_await pull(wanted);
    if (!stopping_) {
        plan_.ended({wanted.key, wanted.node}, error, loop_.now());
    }
}

void Keeper::bring(proxy::WantedModel wanted, std::weak_ptr<proxy::PullWait> waiting)
{
    const auto pair = asked_.ask(wanted, pulls_, loop_.now());
    if (!pair) {
        tell(waiting, std::unexpected(pair.error()));
        return;
    }
    join(*pair, {std::move(wanted), std::move(waiting)});
    start_asked();
}

void Keeper::join(const Asked::Pair& pair, Asker&& asker)
{
    auto& all = waiting_.try_emplace(pair, pulls_, pair).first->second.all;
    if (all.size() == all.capacity()) { // those who left make room, so that a long pull keeps no more than wait
        std::erase_if(all, [](const auto& each) { return each.waiting.expired(); });
        all.reserve(2 * all.size() + 8);
    }
    asker.wanted.seen.reset(); // it gets old
    all.push_back(std::move(asker));
}

/// Who still waits, does so for another node that can pull it: each node once. Else it is told why it failed here.
void Keeper::try_elsewhere(Asker&& asker, const fleet::NodeId& failed, const std::string& why)
{
    if (asker.waiting.expired()) {
        return;
    }
    asker.wanted.exclude.push_back(failed);
    asker.wanted.seen = fleet_.publish();
    const auto pair = asked_.ask(asker.wanted, pulls_, loop_.now());
    if (!pair) {
        tell(asker.waiting, base::fail(base::Errc::no_such_model, why));
        return;
    }
    join(*pair, std::move(asker));
}

void Keeper::start_asked()
{
    if (stopping_) {
        return;
    }
    for (Pull& each : asked_.start()) {
        log::info("sync", "pull_started", {{"model", each.model}, {"node", each.node_name}, {"why", "a request names it"}});
        tasks_.spawn("pull", pull_asked(std::move(each)));
    }
}

net::Task<void> Keeper::pull_asked(Pull wanted)
{
    const std::string error = co_await pull(wanted);
    if (stopping_) {
        co_return;
    }
    const Asked::Pair pair{wanted.key, wanted.node};
    const std::string why = asked_.ended(pair, error, loop_.now());
    auto over = waiting_.extract(pair);
    for (Asker& each : over.mapped().all) {
        if (why.empty()) {
            tell(each.waiting, proxy::PullWait::Answer{});
        } else {
            try_elsewhere(std::move(each), pair.second, why);
        }
    }
    start_asked();
}

/// Why it failed; empty when the node has it.
net::Task<std::string> Keeper::pull(Pull wanted)
{
    proxy::PullMemory::Mark pulling(pulls_, wanted.key, wanted.node);
    std::string error = co_await ask(wanted, pulling);
    if (stopping_) {
        co_return error;
    }
    if (error.empty()) {
        log::info("sync", "pull_done", {{"model", wanted.model}, {"node", wanted.node_name}});
        co_await until_listed(wanted);
    } else {
        log::warn("sync", "pull_failed", {{"model", wanted.model}, {"node", wanted.node_name}, {"why", error}});
    }
    co_return error;
}

/// The node reads its list anew, so that what was pulled is there for the next look.
net::Task<void> Keeper::until_listed(Pull wanted)
{
    fleet_.apply(fleet::NodeChanged{wanted.node});
    const auto deadline = loop_.now() + options_.listing_max;
    while (!stopping_ && loop_.now() < deadline && !lists(*fleet_.publish(), wanted)) {
        (void)co_await net::sleep_for(loop_, listing_step);
    }
}

void Keeper::Talk::end(std::string why)
{
    ended = std::move(why);
    connection->close();
}

/// A pull takes as long as it takes, unless its node is lost.
void Keeper::look_after_nodes()
{
    std::erase_if(talks_, [](const auto& each) { return each.expired(); });
    if (stopping_ || talks_.empty()) {
        return;
    }
    const auto snapshot = fleet_.publish();
    for (const auto& each : talks_) {
        const auto talk = each.lock();
        if (auto why = lost(*snapshot, talk->node); !why.empty()) {
            talk->end(std::move(why));
        }
    }
    nodes_timer_.call_after(options_.every, [this] { look_after_nodes(); });
}

/// Why it failed; empty when the node said success.
net::Task<std::string> Keeper::ask(Pull wanted, proxy::PullMemory::Mark& pulling)
{
    if (auto why = lost(*fleet_.publish(), wanted.node); !why.empty()) { // while it waited for its turn
        co_return why;
    }
    auto taken = co_await pool_.take(wanted.address.endpoint, true, loop_.now() + connect_patience, wanted.address.trust());
    if (!taken) {
        co_return words_of(taken.error());
    }
    const auto talk = std::make_shared<Talk>(Talk{.node = wanted.node, .connection = taken->connection.get()});
    talks_.push_back(talk);
    look_after_nodes();
    std::string why = co_await listen(wanted, *talk, pulling);
    co_return why.empty() || talk->ended.empty() ? why : talk->ended;
}

net::Task<std::string> Keeper::listen(Pull wanted, Talk& talk, proxy::PullMemory::Mark& pulling)
{
    const std::string body = Json{{"model", wanted.model}, {"stream", true}}.dump();
    http::ClientConnection& connection = *talk.connection;
    net::Timer watch(loop_);
    const auto heard = [&] {
        watch.call_after(options_.silence_max, [&talk] { talk.end("it said nothing for too long"); });
    };
    heard();
    const auto head = head_of(wanted.address, body.size());
    if (auto sent = co_await connection.send(head, body); !sent) {
        co_return words_of(sent.error());
    }
    const auto answer = co_await connection.read_head();
    if (!answer) {
        co_return words_of(answer.error());
    }
    PullStream stream;
    for (;;) {
        const auto pieces = co_await connection.read_body();
        if (!pieces) {
            co_return words_of(pieces.error());
        }
        if (pieces->empty()) {
            break;
        }
        heard();
        for (const std::string_view piece : *pieces) {
            if (!stream.feed(piece)) {
                co_return stream.failure();
            }
        }
        plan_.progress({wanted.key, wanted.node}, stream.percent());
        pulling.progress(stream.percent());
    }
    std::string why = stream.failure();
    if (answer->status != 200 && why.empty()) {
        why = "it answered with status " + std::to_string(answer->status);
    }
    co_return why;
}

std::string Keeper::json() const { return plan_json(plan_, asked_, pulls_, loop_.now(), clock_.wall()); }

net::Task<void> Keeper::stop()
{
    stopping_ = true;
    timer_.cancel();
    nodes_timer_.cancel();
    tasks_.cancel();
    co_await tasks_.join();
}

std::string plan_json(const Plan& plan, const Asked& asked, const proxy::PullMemory& pulls, base::Instant now, base::WallTime wall)
{
    const auto at = [&](base::Instant when) {
        const auto in = std::max(base::Duration{}, when - now);
        return admin::timestamp(wall + std::chrono::duration_cast<std::chrono::microseconds>(in));
    };
    Json required = Json::array();
    for (const Requirement& each : plan.required()) {
        Json row{{"model", each.model},
                 {"replicas", each.replicas == 0 ? Json("all") : Json(each.replicas)},
                 {"nodes", each.nodes},
                 {"labels", each.labels}};
        if (!each.frontend.empty()) {
            row["frontend"] = each.frontend;
        }
        required.push_back(std::move(row));
    }
    Json models = Json::array();
    for (const Entry& entry : plan.entries()) {
        Json row{{"model", entry.model}, {"node", entry.node_name}, {"node_id", entry.node.text()}, {"state", to_string(entry.state)}};
        if (entry.state == State::pulling) {
            row["percent"] = entry.percent;
        }
        if (!entry.reason.empty()) {
            row["reason"] = entry.reason;
        }
        if (entry.failures > 0) {
            row["failures"] = entry.failures;
        }
        if (entry.state == State::failed) {
            row["next_try"] = at(entry.next_try);
        }
        models.push_back(std::move(row));
    }
    return Json{{"required", std::move(required)}, {"models", std::move(models)}, {"asked", asked_json(asked, pulls, at)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app::sync
