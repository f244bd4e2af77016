#include "proxy/model_ops.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "proxy/failover.hpp"
#include "proxy/heads.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/model_rows.hpp"

#include <algorithm>

namespace herd::proxy {
namespace {

using fleet::NodeState;
using fleet::NodeView;

constexpr base::Duration reread_timeout = std::chrono::seconds{3};

/// Models are managed on Ollamas of this LAN alone.
bool manages_models(const NodeView& node)
{
    return !node.address.cloud() && node.address.api() == fleet::NodeApi::ollama;
}

bool reachable(const NodeView& node)
{
    return manages_models(node) && (node.state == NodeState::online || node.state == NodeState::suspect || node.state == NodeState::draining);
}

bool is_of(const NodeView& node, const std::vector<base::NodeId>& nodes)
{
    return std::ranges::find(nodes, node.id) != nodes.end();
}

bool holds(const NodeView& node, std::string_view model_key)
{
    return node.facts && !model_key.empty()
           && std::ranges::any_of(node.facts->models, [=](const fleet::Model& m) {
                  return m.key == model_key && fleet::tool_of(m.row) == fleet::Tool::none;
              });
}

std::vector<const NodeView*> candidates(const fleet::Snapshot& snapshot, const Wishes& wishes,
                                        const std::vector<base::NodeId>& exclude)
{
    const auto* pinned = wishes.node.empty() ? nullptr : snapshot.find(std::string_view(wishes.node));
    std::vector<const NodeView*> nodes;
    for (const auto& node : snapshot.nodes) {
        if (manages_models(node) && node.takes_requests() && allowed(node, wishes, pinned) && !is_of(node, exclude)) {
            nodes.push_back(&node);
        }
    }
    return nodes;
}

/// Keeps those of which that is true, if there are any.
template <class Wanted>
void prefer(std::vector<const NodeView*>& nodes, Wanted wanted)
{
    if (std::ranges::any_of(nodes, [&](const NodeView* node) { return wanted(*node); })) {
        std::erase_if(nodes, [&](const NodeView* node) { return !wanted(*node); });
    }
}

/// As for requests: the others are for when nobody of the least tier is there.
void keep_to_tier(std::vector<const NodeView*>& nodes)
{
    const auto least = std::ranges::min_element(nodes, {}, &NodeView::tier);
    if (least != nodes.end()) {
        std::erase_if(nodes, [tier = (*least)->tier()](const NodeView* node) { return node->tier() > tier; });
    }
}

template <class Size>
base::NodeId biggest(const std::vector<const NodeView*>& nodes, Size size)
{
    const NodeView* best = nullptr;
    for (const auto* node : nodes) {
        if (best == nullptr || size(*node) > size(*best) || (size(*node) == size(*best) && node->id < best->id)) {
            best = node;
        }
    }
    return best == nullptr ? base::NodeId{} : best->id;
}

LocalAnswer as_answered(const http::Answer& answer)
{
    LocalAnswer out;
    out.status = answer.head.status;
    out.content_type = {};
    out.body = answer.body;
    out.fields = client_head(answer.head).fields;
    return out;
}

std::string failure_of(const Reply& reply)
{
    if (!reply.answer) {
        return reply.answer.error().message();
    }
    return "status " + std::to_string(reply.answer->head.status) + ": " + reply.answer->body.substr(0, 300);
}

LocalAnswer partly_failed(const std::vector<Reply>& replies)
{
    std::string nodes;
    std::string names;
    for (const auto& reply : replies) {
        const bool gone = reply.answer && reply.answer->head.status == 404;
        if (!reply.ok() && !gone) {
            nodes.append(nodes.empty() ? "" : ",").append(json_quoted(reply.target.id.text())).append(":");
            append_quoted(nodes, failure_of(reply));
            names.append(names.empty() ? "" : ", ").append(reply.target.name);
        }
    }
    LocalAnswer out;
    out.status = 500;
    out.body = "{\"error\":" + json_quoted("failed on " + names) + ",\"nodes\":{" + nodes + "}}";
    return out;
}

LocalAnswer sum_up(const std::vector<Reply>& replies, bool all_or_error)
{
    const Reply* good = nullptr;
    const Reply* answered = nullptr;
    bool failed = false;
    for (const auto& reply : replies) {
        if (reply.ok()) {
            good = good == nullptr ? &reply : good;
        } else if (!reply.answer || reply.answer->head.status != 404) { // 404: gone already
            failed = true;
        }
        if (reply.answer && answered == nullptr) {
            answered = &reply;
        }
    }
    if (good != nullptr && (!failed || !all_or_error)) {
        return as_answered(*good->answer);
    }
    if (good == nullptr && answered != nullptr && (replies.size() == 1 || !failed)) {
        return as_answered(*answered->answer);
    }
    return partly_failed(replies);
}

AttemptRecord attempt_of(const Reply& reply)
{
    using base::Errc;
    AttemptFacts facts{.phase = Phase::answered, .names_model = true};
    if (!reply.answer) {
        const auto error = reply.answer.error().code;
        facts.phase = error == Errc::refused || error == Errc::unreachable ? Phase::connecting : Phase::sent;
        facts.error = error;
        return {reply.target.name, decide(facts).result, reply.took};
    }
    const auto& head = reply.answer->head;
    facts.status = head.status;
    facts.json = head.fields.find("Content-Type").value_or("").starts_with("application/json");
    facts.made_by = made_by(head.fields);
    facts.body = reply.answer->body;
    return {reply.target.name, decide(facts).result, reply.took};
}

} // namespace

std::vector<Target> holders_of(const fleet::Snapshot& snapshot, std::string_view model_key, const Wishes& wishes)
{
    const auto* pinned = wishes.node.empty() ? nullptr : snapshot.find(std::string_view(wishes.node));
    std::vector<Target> targets;
    const auto found = snapshot.models.find(std::string(model_key));
    if (found == snapshot.models.end()) {
        return targets;
    }
    for (const auto& holder : found->second) {
        const auto& node = snapshot.nodes[holder.node];
        if (holder.tool == fleet::Tool::none && reachable(node) && allowed(node, wishes, pinned)) {
            targets.push_back(target_of(node));
        }
    }
    return targets;
}

base::NodeId choose_build_node(const fleet::Snapshot& snapshot, const BlobMemory& memory,
                               const std::vector<std::string>& digests, std::string_view base_model_key,
                               const Wishes& wishes, const std::vector<base::NodeId>& exclude)
{
    auto nodes = candidates(snapshot, wishes, exclude);
    for (const auto& digest : digests) {
        if (const auto remembered = memory.find(digest)) {
            if (std::ranges::any_of(nodes, [&](const NodeView* node) { return node->id == *remembered; })) {
                return *remembered;
            }
        }
    }
    prefer(nodes, [&](const NodeView& node) { return holds(node, base_model_key); });
    keep_to_tier(nodes);
    return biggest(nodes, [](const NodeView& node) { return node.facts ? node.facts->host.memory_total : 0; });
}

base::NodeId choose_pull_node(const fleet::Snapshot& snapshot, const PullMemory& pulls, const std::string& model_key,
                              const Wishes& wishes, const std::vector<base::NodeId>& exclude,
                              const std::function<bool(const fleet::NodeView&)>& fits)
{
    auto nodes = candidates(snapshot, wishes, exclude);
    if (fits) {
        std::erase_if(nodes, [&](const NodeView* node) { return !fits(*node); });
    }
    const auto pulling = pulls.nodes(model_key);
    prefer(nodes, [&](const NodeView& node) { return is_of(node, pulling); });
    prefer(nodes, [&](const NodeView& node) { return holds(node, model_key); }); // of two that pull it one may be updating
    keep_to_tier(nodes);
    return biggest(nodes, [](const NodeView& node) {
        base::Bytes room = 0;
        if (node.facts) {
            room = node.facts->host.memory_available;
            for (const auto& gpu : node.facts->gpus) {
                room += gpu.vram_free.value_or(0);
            }
        }
        return room;
    });
}

net::Task<void> reread_models(Context& context, std::string own_id, std::vector<Target> targets)
{
    Question question{.path = "/api/tags", .timeout = reread_timeout};
    const auto replies = co_await ask_all(context, std::move(own_id), std::move(targets), std::move(question));
    for (const auto& reply : replies) {
        auto rows = reply.ok() ? parse_tags(reply.answer->body) : std::nullopt;
        if (rows) {
            context.scheduler.tell(fleet::ModelsRead{reply.target.id, std::move(*rows)});
        } else {
            log::warn("proxy", "models_unread", {{"node", reply.target.name}});
        }
    }
    (void)co_await context.scheduler.fresh_snapshot();
}

net::Task<Broadcasted> broadcast(Context& context, std::string own_id, std::vector<Target> targets, Broadcast what)
{
    Question question{.method = std::move(what.method),
                      .path = std::move(what.path),
                      .body = std::move(what.body),
                      .timeout = what.timeout,
                      .may_repeat = false};
    const auto replies = co_await ask_all(context, own_id, targets, std::move(question));
    if (what.rereads) {
        co_await reread_models(context, std::move(own_id), std::move(targets));
    }
    Broadcasted done{.answer = sum_up(replies, what.all_or_error)};
    std::ranges::transform(replies, std::back_inserter(done.attempts), attempt_of);
    co_return done;
}

} // namespace herd::proxy
