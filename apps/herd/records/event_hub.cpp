#include "herd/records/event_hub.hpp"

#include "base/text.hpp"
#include "herd/admin/views.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace herd::app {

namespace {

using fleet::NodeView;

enum class Change { none, small, big };

/// What somebody looking at a node would notice at once, against what moves with every heartbeat.
Change compare(const NodeView& was, const NodeView& is)
{
    const bool same = was.state == is.state && was.state_reason == is.state_reason && was.in_flight == is.in_flight
        && was.queued == is.queued && was.name == is.name && was.url == is.url && was.labels == is.labels
        && was.drained_by_operator == is.drained_by_operator;
    if (!same) {
        return Change::big;
    }
    if (was.facts == is.facts) {
        return Change::none;
    }
    if (!was.facts || !is.facts) {
        return Change::big;
    }
    const auto names = [](const auto& list) {
        std::vector<std::string_view> all;
        for (const auto& one : list) {
            all.push_back(one.name);
        }
        return all;
    };
    const bool same_models = names(was.facts->loaded) == names(is.facts->loaded) && names(was.facts->models) == names(is.facts->models);
    return same_models ? Change::small : Change::big;
}

/// `node` (a JSON object) with what became of its state: who looks at changes alone has to compare nothing.
std::string with_flip(std::string node, const fleet::NodeState* from, std::string_view to, base::WallTime at)
{
    node.pop_back();
    node += node.size() > 1 ? R"(,"from":)" : R"("from":)";
    node += from == nullptr ? "null" : '"' + std::string(fleet::to_string(*from)) + '"';
    return node.append(R"(,"to":")").append(to).append(R"(","at":")").append(admin::timestamp(at)).append("\"}");
}

/// A comment line: read and forgotten by every client.
const Chunk& heartbeat_chunk()
{
    static const Chunk chunk = std::make_shared<const std::string>(": \n\n");
    return chunk;
}

} // namespace

EventHub::EventHub(net::Loop& loop, std::string boot, EventVoices voices, EventLimits limits)
    : boot_(std::move(boot)), voices_(std::move(voices)), limits_(limits), loop_(loop), push_timer_(loop), beat_timer_(loop),
      sleep_timer_(loop), told_(latest_)
{
}

void EventHub::snapshot(std::shared_ptr<const fleet::Snapshot> snapshot)
{
    assert_on_loop();
    latest_ = std::move(snapshot);
    wake();
}

void EventHub::ended(std::shared_ptr<const store::RequestRecord> record)
{
    assert_on_loop();
    if (!awake_) {
        return;
    }
    requests_.push_back(std::move(record));
    if (requests_.size() > limits_.requests_per_push) {
        requests_.pop_front();
        ++requests_skipped_;
    }
    wake();
}

void EventHub::health(std::string findings)
{
    assert_on_loop();
    health_ = std::move(findings);
    health_is_news_ = awake_;
    wake();
}

std::optional<Chunk> EventHub::join(std::shared_ptr<EventViewer> viewer, std::string_view last_event_id)
{
    assert_on_loop();
    if (closed_ || viewers_.size() >= limits_.viewers) {
        return std::nullopt;
    }
    rouse();
    auto first = since(last_event_id);
    if (!first) {
        first = whole_state();
    }
    viewers_.push_back(std::move(viewer)); // only now: what whole_state() pushed is in its text already
    return first;
}

/// Somebody watches: from now on changes against this very state count.
void EventHub::rouse()
{
    sleep_timer_.cancel();
    if (std::exchange(awake_, true)) {
        return;
    }
    told_ = latest_;
    for (const NodeView& view : latest_->nodes) {
        told_nodes_.emplace(view.id, view);
    }
    looked_closely_at_ = loop_.now();
    beat();
}

void EventHub::leave(const EventViewer* viewer)
{
    assert_on_loop();
    std::erase_if(viewers_, [&](const auto& one) { return one.get() == viewer; });
    if (viewers_.empty() && awake_ && !closed_) {
        sleep_soon();
    }
}

void EventHub::close()
{
    closed_ = true;
    for (const auto& viewer : viewers_) {
        viewer->end();
    }
    viewers_.clear();
    forget();
}

/// A push is due as soon as the spacing allows.
void EventHub::wake()
{
    if (!awake_ || closed_ || std::exchange(push_armed_, true)) {
        return;
    }
    push_timer_.call_at(std::max(loop_.now(), pushed_at_ + limits_.spacing), [this] {
        push_armed_ = false;
        push();
    });
}

void EventHub::push()
{
    pushed_at_ = loop_.now();
    const bool closely = pushed_at_ - looked_closely_at_ >= limits_.load_spacing;
    if (closely) {
        looked_closely_at_ = pushed_at_;
    }
    Draft draft;
    add_nodes(draft, closely);
    add_requests(draft);
    add_status(draft);
    if (std::exchange(health_is_news_, false)) {
        add(draft, "health", health_);
    }
    if (!draft.offsets.empty()) {
        keep(std::move(draft));
    }
}

void EventHub::add(Draft& draft, std::string_view event, std::string_view data)
{
    draft.offsets.push_back(draft.text.size());
    draft.text.append("id: ").append(id_text(++last_number_)).append("\nevent: ").append(event);
    draft.text.append("\ndata: ").append(data).append("\n\n"); // our JSON holds no line ends
}

void EventHub::add_nodes(Draft& draft, bool small_changes_too)
{
    if (told_ == latest_ && !small_changes_too) {
        return;
    }
    std::set<base::NodeId> present;
    for (std::size_t i = 0; i < latest_->nodes.size(); ++i) {
        const NodeView& view = latest_->nodes[i];
        present.insert(view.id);
        const auto known = told_nodes_.find(view.id);
        const Change change = known == told_nodes_.end() ? Change::big : compare(known->second, view);
        if (change == Change::big || (change == Change::small && small_changes_too)) {
            const fleet::NodeState* const from = known == told_nodes_.end() ? nullptr : &known->second.state;
            const bool flipped = from == nullptr || *from != view.state;
            std::string text = voices_.node(*latest_, i);
            add(draft, "node", flipped ? with_flip(std::move(text), from, fleet::to_string(view.state), view.since) : text);
            told_nodes_.insert_or_assign(view.id, view);
        }
    }
    for (auto known = told_nodes_.begin(); known != told_nodes_.end();) {
        if (present.contains(known->first)) {
            ++known;
            continue;
        }
        const std::string gone = R"({"id":")" + known->first.text() + R"(","state":"removed"})";
        add(draft, "node", with_flip(gone, &known->second.state, "removed", latest_->taken_at));
        known = told_nodes_.erase(known);
    }
    told_ = latest_;
}

void EventHub::add_requests(Draft& draft)
{
    for (const auto& record : requests_) {
        add(draft, "request", voices_.request(*record));
    }
    requests_.clear();
    if (requests_skipped_ > 0) { // the bucket of the usage is where to look for all of them
        add(draft, "request", R"({"skipped":)" + std::to_string(std::exchange(requests_skipped_, 0)) + "}");
    }
}

void EventHub::add_status(Draft& draft)
{
    std::string status = voices_.status(*latest_);
    if (status != told_status_) {
        add(draft, "status", status);
        told_status_ = std::move(status);
    }
}

void EventHub::keep(Draft draft)
{
    Push push{.first = last_number_ - draft.offsets.size() + 1,
              .offsets = std::move(draft.offsets),
              .chunk = std::make_shared<const std::string>(std::move(draft.text))};
    ++pushes_;
    for (const auto& viewer : viewers_) {
        viewer->push(push.chunk);
    }
    ring_bytes_ += push.chunk->size();
    ring_.push_back(std::move(push));
    while (ring_bytes_ > limits_.ring_bytes && ring_.size() > 1) {
        ring_bytes_ -= ring_.front().chunk->size();
        ring_.pop_front();
    }
}

/// What came after that id, if the ring still holds all of it.
std::optional<Chunk> EventHub::since(std::string_view last_event_id) const
{
    if (!last_event_id.starts_with(boot_) || last_event_id.size() <= boot_.size() || last_event_id[boot_.size()] != '-') {
        return std::nullopt;
    }
    const auto number = base::parse_unsigned(last_event_id.substr(boot_.size() + 1));
    if (!number || *number > last_number_ || ring_.empty() || *number + 1 < ring_.front().first) {
        return std::nullopt;
    }
    std::string text = "retry: 1000\n\n";
    for (const Push& push : ring_) {
        const std::uint64_t after = push.first + push.offsets.size(); // the number behind its last event
        if (*number + 1 >= after) {
            continue;
        }
        const std::size_t from = *number + 1 <= push.first ? 0 : push.offsets[*number + 1 - push.first];
        text.append(*push.chunk, from);
    }
    return std::make_shared<const std::string>(std::move(text));
}

/// Everything as it is. It carries the number of the last push: what follows is news to whoever reads it.
Chunk EventHub::whole_state()
{
    push_timer_.cancel();
    push_armed_ = false;
    push(); // so that the others learn what this one is about to be told
    std::string text = "retry: 1000\n\n";
    const std::string head = "id: " + id_text(last_number_) + "\nevent: ";
    text.append(head).append("status\ndata: ").append(voices_.status(*latest_)).append("\n\n");
    for (std::size_t i = 0; i < latest_->nodes.size(); ++i) {
        text.append(head).append("node\ndata: ").append(voices_.node(*latest_, i)).append("\n\n");
    }
    if (!health_.empty()) {
        text.append(head).append("health\ndata: ").append(health_).append("\n\n");
    }
    return std::make_shared<const std::string>(std::move(text));
}

void EventHub::beat()
{
    beat_timer_.call_after(limits_.heartbeat, [this] {
        for (const auto& viewer : viewers_) {
            viewer->push(heartbeat_chunk());
        }
        beat();
    });
}

void EventHub::sleep_soon()
{
    sleep_timer_.call_after(limits_.remember, [this] { forget(); });
}

void EventHub::forget()
{
    awake_ = false;
    push_armed_ = false;
    push_timer_.cancel();
    beat_timer_.cancel();
    sleep_timer_.cancel();
    ring_.clear();
    ring_bytes_ = 0;
    told_nodes_.clear();
    told_status_.clear();
    health_is_news_ = false;
    told_ = nullptr;
    requests_.clear();
    requests_skipped_ = 0;
}

} // namespace herd::app
