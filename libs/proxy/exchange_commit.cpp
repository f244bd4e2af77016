// A visit, and above all what follows the decision to let an answer through: commit, relay, what is added when
// the node fails in the middle, the outcome, the record.
#include "proxy/visit.hpp"

#include "proxy/client_address.hpp"
#include "proxy/dialect/dialect.hpp"
#include "proxy/heads.hpp"
#include "proxy/model_ops.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace herd::proxy {
namespace {

/// Whether the answer is a stream of the kind that the route is known for.
StreamKind kind_of(const http::ResponseHead& head, StreamKind of_route)
{
    if (head.status >= 300 || head.fields.find("Content-Encoding")) {
        return StreamKind::none;
    }
    const auto type = head.fields.find("Content-Type").value_or("");
    switch (of_route) {
    case StreamKind::ndjson_done:
    case StreamKind::ndjson_success: return type.starts_with("application/x-ndjson") ? of_route : StreamKind::none;
    case StreamKind::sse_done:
    case StreamKind::sse_response:
    case StreamKind::sse_message: return type.starts_with("text/event-stream") ? of_route : StreamKind::none;
    default: break;
    }
    return type.starts_with("text/event-stream")      ? StreamKind::sse_other
           : type.starts_with("application/x-ndjson") ? StreamKind::ndjson_other
                                                      : StreamKind::none;
}

/// How such a stream ends is not known: only that its connection broke tells that it did not.
bool ends_as_it_likes(StreamKind kind) { return kind == StreamKind::sse_other || kind == StreamKind::ndjson_other; }

} // namespace

Visit::Visit(Context& context, std::shared_ptr<const Settings> settings, http::ServerExchange& client)
    : context_(context), settings_(std::move(settings)), client_(client),
      cors_(settings_->cors.judge(client.head())), moved_at_(context.loop.now()), began_(moved_at_)
{
    record_.at = context.loop.wall();
    const auto& trusted = settings_->options->trusted_proxies;
    record_.client = trusted.empty() ? client.peer() : client_of(client.head().fields, client.peer(), trusted);
    record_.method = client.head().method;
    record_.user_agent = client.head().fields.find("User-Agent").value_or("").substr(0, 128);
    older_ = std::exchange(context.newest, this);
    if (older_ != nullptr) {
        older_->newer_ = this;
    }
}

Visit::~Visit()
{
    (newer_ != nullptr ? newer_->older_ : context_.newest) = older_;
    if (older_ != nullptr) {
        older_->newer_ = newer_;
    }
}

const ProxyOptions& Visit::options() const
{
    return at_ && at_->frontend != nullptr ? *at_->frontend->options : *settings_->options;
}

std::optional<Problem> Visit::admit()
{
    auto admission = context_.access->admit(client_.head(), record_.client.address, began_, record_.at);
    if (admission.key) {
        record_.key = admission.key->name;
    }
    caller_ = std::move(admission.caller);
    return std::move(admission.problem);
}

void Visit::pass(Attempt&& attempt, const fleet::Lease& lease, const Route& route)
{
    kind_ = kind_of(attempt.head, route.stream);
    tail_.expect(kind_);
    phase_ = 'D';
    record_.stream = record_.stream && kind_ != StreamKind::none;
    record_.status = attempt.head.status;
    const auto now = context_.loop.now();
    first_byte_ = now - held_->since();
    record_.first_byte = now - began_;
    if (handling_ == Handling::blob) {
        blob_ = route.parameter;
    }
    if (handling_ == Handling::create || handling_ == Handling::pull) {
        reread_ = std::make_unique<Target>(Target{lease.node, lease.node_name, lease.address});
    }
    auto& head = attempt.head;
    make_client_head(head);
    if (head.framing == http::Framing::until_close) {
        head.framing = http::Framing::chunked;
    }
    stamp_proxied(head.fields, lease.node_name, record_.attempts.size());
    if (options().compat.any()) {
        stamp_compat(head.fields, lease);
    }
    stamp(head.fields);
    connection_ = std::move(attempt.connection);
    first_ = attempt.first;
    first_text_ = std::move(attempt.failure_text);
    if (lease.tool) {
        tool_done();
    }
    if (client_.begun()) { // an early head promised such a stream, and no more
        return;
    }
    client_.begin(std::move(head)); // the commit point: the head leaves with the first bytes
}

/// The usual case of a short answer: what was read already is all of it.
bool Visit::give_at_once()
{
    if (!connection_->body_complete() || first_.empty() || !first_text_.empty() || reread_ || client_.client_gone()) {
        return false;
    }
    tail_.feed_whole(first_);
    first_text_ = last_words(RelayEnd::complete);
    given_ = true;
    if (!first_text_.empty() || !client_.try_end(first_)) {
        return false;
    }
    (void)connection_->try_read_body(); // lets go of the buffer
    relayed({});
    return true;
}

net::Task<Relayed> Visit::relay()
{
    if (!given_ && !first_text_.empty()) {
        return relay_kept();
    }
    if (!given_ && !first_.empty()) {
        return relay_answer(client_, *connection_, first_, options().idle_timeout, this);
    }
    if (!given_) { // nothing at all came: no stream ends like that, so a stream's client is told
        first_text_ = last_words(RelayEnd::complete);
    }
    return give_rest();
}

net::Task<Relayed> Visit::relay_kept()
{
    const std::array kept{std::string_view(first_text_)};
    co_return co_await relay_answer(client_, *connection_, kept, options().idle_timeout, this);
}

/// The answer that is all here, with the words for its end in first_text_.
net::Task<Relayed> Visit::give_rest()
{
    base::Result<void> done{};
    if (first_text_.empty()) {
        done = co_await client_.end(first_);
    } else {
        client_.close_after();
        if (!first_.empty()) {
            done = co_await client_.write(first_);
        }
        if (done) {
            const std::array last{std::string_view(first_text_)};
            done = co_await client_.end(last);
        }
    }
    if (!done) {
        co_return Relayed{RelayEnd::client_gone, std::make_unique<base::Error>(std::move(done.error()))};
    }
    if (!first_.empty()) {
        (void)connection_->try_read_body(); // lets go of the buffer
    }
    co_return Relayed{};
}

bool Visit::passing(std::span<const std::string_view> pieces)
{
    tail_.feed(pieces);
    return reread_ != nullptr;
}

std::string Visit::last_words(RelayEnd end)
{
    tail_end_ = tail_.end(kind_);
    auto words = words_for(end);
    if (end == RelayEnd::complete) {
        node_done();
    }
    return words;
}

/// An error in the dialect of the stream when it did not end as such streams do.
std::string Visit::words_for(RelayEnd end) const
{
    if (kind_ == StreamKind::none || (ends_as_it_likes(kind_) ? end == RelayEnd::complete : tail_end_ != TailEnd::open)) {
        return {};
    }
    Problem problem{502, "node_failed", "node '" + record_.node + "'"};
    if (cancelled()) {
        problem = {503, "cancelled", std::string(cancelled_)};
    } else if (end == RelayEnd::complete) {
        problem.message += " ended the stream before it was done";
    } else if (late()) {
        problem.status = 504;
        problem.code = "deadline_passed";
        problem.message += late_words();
    } else {
        problem.message += end == RelayEnd::node_silent ? " fell silent in the middle of the answer" : " was lost in the middle of the answer";
    }
    return in_band_error(kind_, problem, tail_.at_event_end(kind_));
}

/// Before "success" reaches the client, the fleet knows of the model: who lists or uses it next will see it.
net::Task<void> Visit::before_write()
{
    if (!reread_ || tail_.end(StreamKind::ndjson_success) != TailEnd::proper) {
        co_return;
    }
    std::vector<Target> targets{std::move(*reread_)};
    reread_.reset();
    co_await reread_models(context_, settings_->options->own_id, std::move(targets));
}

std::string Visit::field_value(std::string_view text)
{
    std::string out(text.substr(0, 256));
    std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return out;
}

void Visit::stamp_proxied(http::Fields& fields, std::string_view node, std::size_t retries) const
{
    fields.append("X-Herd-Node", field_value(node));
    fields.append("X-Herd-Model", field_value(record_.model));
    fields.append("X-Herd-Retries", std::to_string(retries));
    fields.append("X-Herd-Queue-Ms", std::to_string(base::milliseconds(record_.queue)));
}

fleet::Outcome Visit::outcome_of(fleet::Result result) const
{
    fleet::Outcome outcome;
    outcome.result = result;
    outcome.took = context_.loop.now() - held_->since();
    return outcome;
}

/// The node's part is over, and its slot and the client's place free, before the client hears the end: what the client
/// asks next finds all of them, and the blob, where they are.
void Visit::node_done()
{
    if (caller_) {
        caller_->leave();
    }
    if (held_->finished()) {
        return; // by tool_done()
    }
    auto outcome = outcome_of(fleet::Result::served);
    outcome.status = record_.status;
    outcome.first_byte = first_byte_;
    if (record_.status < 300) {
        const auto told = tail_.told();
        outcome.timings = told.timings;
        record_.done_reason = told.done_reason;
    }
    if (tail_end_ != TailEnd::proper) {
        outcome.reason = tail_end_ == TailEnd::error ? "an error inside the stream" : "no end of the stream";
        record_.error = outcome.reason;
    }
    record_.timings = outcome.timings;
    if (outcome.timings.prompt_tokens + outcome.timings.output_tokens > 0) {
        spend(); // who looks after the answer finds it counted
    }
    record_.attempts.push_back({record_.node, outcome.result, outcome.took});
    if (handling_ == Handling::blob && record_.status < 300) { // uploaded, or a HEAD that found it
        context_.shared->blobs.add(blob_, held_->node());
    }
    held_->finish(std::move(outcome));
}

/// What a tool made is whole when its answer begins, and its node has taken it from the tool: the next request has the tool
/// however slowly this one's client reads.
void Visit::tool_done()
{
    auto outcome = outcome_of(fleet::Result::served);
    outcome.status = record_.status;
    outcome.first_byte = first_byte_;
    record_.attempts.push_back({record_.node, outcome.result, outcome.took});
    held_->finish(std::move(outcome));
}

void Visit::relayed(const Relayed& relayed)
{
    if (relayed.end == RelayEnd::complete) {
        context_.pool.give_back(std::move(connection_));
    }
    const bool given_back = held_->finished(); // by node_done() or tool_done()
    if (given_back && relayed.end == RelayEnd::complete) {
        if (tail_end_ != TailEnd::proper) {
            ended('N', Stage::data);
        }
        return;
    }
    auto outcome = outcome_of(fleet::Result::broken);
    outcome.status = record_.status;
    outcome.first_byte = first_byte_;
    if (relayed.end == RelayEnd::client_gone || cancelled()) {
        outcome.result = fleet::Result::cancelled;
        client_left(Stage::data);
    } else if (late()) { // our limit, and no fault of the node
        outcome.result = fleet::Result::cancelled;
        record_.error = "node '" + record_.node + "'" + std::string(late_words());
        ended('T', Stage::data);
    } else {
        const bool silent = relayed.end == RelayEnd::node_silent;
        outcome.result = silent ? fleet::Result::timed_out : fleet::Result::broken;
        outcome.reason = silent ? "silent in the middle of the answer" : relayed.error->message();
        record_.error = outcome.reason;
        ended(silent ? 'T' : 'N', Stage::data);
    }
    if (!given_back) {
        record_.attempts.push_back({record_.node, outcome.result, outcome.took});
        held_->finish(std::move(outcome));
    }
}

void Visit::stamp(http::Fields& fields) const
{
    fields.append("X-Herd-Request-Id", record_.id); // made by us, or found fit
    if (cors_ == CorsPolicy::Verdict::allowed) {
        settings_->cors.mark(client_.head(), fields);
    }
}

void Visit::ended(char who, Stage stage) { record_.termination = {who, static_cast<char>(stage)}; }

void Visit::cancel(std::string_view why)
{
    if (!std::exchange(cancelled_, why).empty()) {
        client_.kill();
    } else if (connection_) {
        connection_->close();
    } else {
        client_.dismiss();
    }
}

void Visit::client_left(Stage stage)
{
    ended(cancelled() ? 'P' : 'C', stage);
    if (cancelled()) {
        record_.error = cancelled_;
    }
    if (record_.status == 0) {
        record_.status = 499;
    }
}

InFlight Visit::in_flight() const
{
    InFlight now{record_, phase_};
    now.record.total = context_.loop.now() - began_;
    now.record.bytes_in = client_.bytes_in();
    now.record.bytes_out = client_.bytes_out();
    now.still = context_.loop.now() - moved_at_;
    return now;
}

base::Duration Visit::still(base::Instant now)
{
    const std::uint64_t bytes = client_.bytes_out();
    if (phase_seen_ != phase_ || bytes_seen_ != bytes) {
        phase_seen_ = phase_;
        bytes_seen_ = bytes;
        moved_at_ = now;
    }
    return phase_ == 'H' || phase_ == 'D' ? now - moved_at_ : base::Duration{};
}

/// Counts for the key, once.
void Visit::spend()
{
    if (caller_ && !std::exchange(spent_, true)) {
        const bool inference = handling_ == Handling::inference || handling_ == Handling::unknown_post;
        caller_->spent(record_, inference, context_.loop.wall());
    }
}

void Visit::record()
{
    record_.total = context_.loop.now() - began_;
    record_.bytes_in = client_.bytes_in();
    record_.bytes_out = client_.bytes_out();
    spend();
    if (context_.sink) {
        context_.sink(std::move(record_));
    }
}

} // namespace herd::proxy
