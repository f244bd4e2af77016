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

bool lists(const fleet::Snapshot& snapshot, const Pull& wanted)
{
    const fleet::NodeView* node = snapshot.find(wanted.node);
    return node != nullptr && node->facts
           && std::ranges::find(node->facts->models, wanted.key, &fleet::Model::key) != node->facts->models.end();
}

} // namespace

Keeper::Keeper(net::Loop& loop, net::Network& network, FleetOwner& fleet, proxy::PullMemory& pulls, base::Rng rng, KeeperOptions options)
    : loop_(loop), fleet_(fleet), pulls_(pulls), options_(options), pool_(loop, network, http::PoolOptions{.connect_timeout = connect_patience}),
      plan_(rng, options.limits), timer_(loop), tasks_(loop, "sync")
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
        tasks_.spawn("pull", pull(std::move(each)));
    }
    if (!plan_.idle()) {
        arm(options_.every);
    }
}

net::Task<void> Keeper::pull(Pull wanted)
{
    const proxy::PullMemory::Mark pulling(pulls_, wanted.key, wanted.node);
    const std::string error = co_await ask(wanted);
    if (stopping_) {
        co_return;
    }
    if (error.empty()) {
        log::info("sync", "pull_done", {{"model", wanted.model}, {"node", wanted.node_name}});
        co_await until_listed(wanted);
    } else {
        log::warn("sync", "pull_failed", {{"model", wanted.model}, {"node", wanted.node_name}, {"why", error}});
    }
    plan_.ended({wanted.key, wanted.node}, error, loop_.now());
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

/// Why it failed; empty when the node said success.
net::Task<std::string> Keeper::ask(Pull wanted)
{
    const std::string body = Json{{"model", wanted.model}, {"stream", true}}.dump();
    auto taken = co_await pool_.take(wanted.address.endpoint, true, loop_.now() + connect_patience, wanted.address.trust());
    if (!taken) {
        co_return words_of(taken.error());
    }
    http::ClientConnection& connection = *taken->connection;
    bool silent = false;
    net::Timer watch(loop_);
    const auto heard = [&] {
        watch.call_after(options_.silence_max, [&] {
            silent = true;
            connection.close();
        });
    };
    const auto broken = [&](const base::Error& error) {
        return silent ? std::string{"it said nothing for too long"} : words_of(error);
    };
    heard();
    const auto head = head_of(wanted.address, body.size());
    if (auto sent = co_await connection.send(head, body); !sent) {
        co_return broken(sent.error());
    }
    const auto answer = co_await connection.read_head();
    if (!answer) {
        co_return broken(answer.error());
    }
    PullStream stream;
    for (;;) {
        const auto pieces = co_await connection.read_body();
        if (!pieces) {
            co_return broken(pieces.error());
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
    }
    std::string why = stream.failure();
    if (answer->status != 200 && why.empty()) {
        why = "it answered with status " + std::to_string(answer->status);
    }
    co_return why;
}

std::string Keeper::json() const { return plan_json(plan_, loop_.now(), clock_.wall()); }

net::Task<void> Keeper::stop()
{
    stopping_ = true;
    timer_.cancel();
    tasks_.cancel();
    co_await tasks_.join();
}

std::string plan_json(const Plan& plan, base::Instant now, base::WallTime wall)
{
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
            const auto in = std::max(base::Duration{}, entry.next_try - now);
            row["next_try"] = admin::timestamp(wall + std::chrono::duration_cast<std::chrono::microseconds>(in));
        }
        models.push_back(std::move(row));
    }
    return Json{{"required", std::move(required)}, {"models", std::move(models)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app::sync
