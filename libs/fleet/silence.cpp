// When a node says nothing, or TCP fails at it. A missed announcement proves little, so a silent node is
// probed by UDP and TCP before anyone believes it dead; a refused connection proves much, and counts at once.
#include "fleet/membership.hpp"
#include "fleet/timing.hpp"

#include <algorithm>

namespace herd::fleet {
namespace {

constexpr std::size_t flaps_free = 3; ///< in a minute, before a node has to prove itself

base::Duration patience(const NodeRecord& node) { return node.interval + node.interval / 2; }

} // namespace

void Membership::set_verify(NodeRecord& node, Verify verify)
{
    verifying_silence_ += verify == Verify::silence ? 1U : 0U;
    verifying_silence_ -= node.verify == Verify::silence ? 1U : 0U;
    node.verify = verify;
}

void Membership::probe(NodeRecord& node, bool with_udp, Step& step)
{
    if (node.probe_out) {
        return;
    }
    const auto tcp = node.address.endpoint.port != 0 ? node.address.endpoint : node.agent;
    node.probe_out = true;
    node.probe_started = step.now;
    node.probe_connected.reset();
    node.timers.probe_again = never;
    const auto bound = node.last_seen + node.detect_mult * node.interval; // lana.md 6: the upper bound
    node.timers.verdict = std::min(step.now + timing::probe_window, std::max(bound, step.now));
    const auto ask = node.admission_probe ? std::make_shared<const Address>(node.address) : nullptr;
    step.emit(Probe{node.id, with_udp ? node.udp : base::Endpoint{}, tcp, ask});
}

/// The lazily armed alarm rang: has it really been silent for 1.5 intervals?
void Membership::look_at_silence(NodeRecord& node, Step& step)
{
    if (node.liveness != Liveness::alive || node.verify == Verify::tcp_only) {
        return;
    }
    const auto due = std::max(node.last_beat, ears_.grace_from()) + patience(node);
    if (due > step.now) {
        node.timers.silence = due;
        return;
    }
    set_verify(node, Verify::silence);
    if (node.probe_out && node.timers.verdict != never) {
        return; // one is out for another reason, and its answer serves
    }
    node.probe_out = false;
    probe(node, true, step);
}

/// The probe's time is over. An announcement meanwhile has set verify to none.
void Membership::verdict(NodeRecord& node, Step& step)
{
    const bool connected = node.probe_connected.value_or(false);
    node.probe_out = false;
    if (node.admission_probe) {
        node.probe_copies = 0;
        apply(ProbeDone{.id = node.id, .connected = false, .why = base::Errc::timed_out, .asked = true}, step);
        return;
    }
    if (node.liveness == Liveness::suspect && node.needs_tcp && !connected) {
        ++node.probe_failures;
        node.timers.probe_again = step.now + timing::retry_in(timing::probe_retry, node.probe_failures);
        return;
    }
    if (node.liveness != Liveness::alive || node.verify == Verify::none) {
        if (node.liveness == Liveness::alive && node.timers.silence == never) {
            node.timers.silence = node.last_beat + patience(node);
        }
        return;
    }
    if (!connected) {
        silent(node, "silent: neither UDP nor TCP answers", step);
    } else if (node.verify == Verify::silence) {
        set_verify(node, Verify::tcp_only);
        node.tcp_only_limit = node.last_beat + timing::udp_silence_max;
        node.polls_open = 0;
        node.liveness_reason = "TCP answers, announcements do not arrive";
        settle_state(node, step);
        poll_by_http(node, step);
    }
}

void Membership::silent(NodeRecord& node, std::string reason, Step& step)
{
    if (!ears_.may_evict(step.now, verifying_silence_, live_)) {
        set_verify(node, Verify::none);
        node.timers.poll = never;
        node.timers.silence = step.now + timing::http_poll;
        return;
    }
    ears_.evicted(step.now);
    node.tcp_proven = false;
    become(node, Liveness::suspect, std::move(reason), step);
    step.emit(DropConnections{node.address.endpoint, true});
}

/// A suspect node's TCP still fails. Once UDP has been silent for as long as a live node never is, the host itself
/// is gone: what it had acknowledged will not be answered. (Not while silence may be our own fault, and not when the
/// host refuses: then it lives, and closes what its dead process had open.)
void Membership::tcp_failed_again(NodeRecord& node, base::Errc why, Step& step)
{
    ++node.probe_failures;
    node.timers.probe_again = step.now + timing::retry_in(timing::probe_retry, node.probe_failures);
    const auto proof = std::max(node.last_seen, ears_.grace_from()) + patience(node);
    if (step.now < proof) {
        node.timers.probe_again = std::min(node.timers.probe_again, proof);
    } else if (why != base::Errc::refused && !ears_.hushed(step.now)) {
        step.emit(DropConnections{node.address.endpoint, true});
    }
}

/// Each second while only TCP answers: the document over HTTP, for as long as udp_silence_max. That something accepts
/// connections says little: the kernel does so for an agent that is frozen, and with it every request at its gateway.
void Membership::poll_by_http(NodeRecord& node, Step& step)
{
    if (node.liveness != Liveness::alive || node.verify != Verify::tcp_only) {
        return;
    }
    if (step.now >= node.tcp_only_limit) {
        become(node, Liveness::suspect, "no announcement for 30 s, although TCP answers", step);
        return;
    }
    if (step.now - node.last_seen > node.detect_mult * node.interval) {
        silent(node, "silent: neither UDP nor TCP answers", step);
        return;
    }
    if (node.facts->gateway && node.polls_open >= timing::polls_open_max) {
        silent(node, "silent: it accepts connections and answers nothing", step);
        return;
    }
    ++node.polls_open;
    node.timers.poll = step.now + timing::http_poll;
    fetch(node, step);
}

void Membership::apply(const ProbeDone& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || node->is_static() || event.asked != node->admission_probe) {
        return; // the end of a probe whose time was over
    }
    if (event.asked && event.why == base::Errc::timed_out && !event.connected && --node->probe_copies > 0) {
        return; // the same question is out once more
    }
    node->probe_out = false;
    node->probe_connected = event.connected;
    node->tcp_proven = event.connected;
    if (event.connected) {
        node->latency = event.round_trip;
        node->last_seen = step.now;
        node->probe_failures = 0;
    }
    if (node->admission_probe) {
        api_answered(*node, event, step);
    } else if (node->liveness == Liveness::verifying && node->ever_confirmed && !node->confirm_out && unproven(*node)) {
        node->timers.verdict = never;
        admit(*node, step); // its API was to be asked while this one was out
    } else if (node->liveness == Liveness::suspect && node->needs_tcp) {
        node->timers.verdict = never;
        if (event.connected) {
            node->needs_tcp = false;
            refute(*node, step);
        } else {
            tcp_failed_again(*node, event.why, step);
        }
    } else if (node->liveness == Liveness::alive && !event.connected && event.why == base::Errc::refused) {
        node->timers.verdict = never;
        fault(*node, node->address.endpoint.text() + " refused the connection", step);
    }
    rearm(*node, step);
}

void Membership::apply(const CanaryLost& event, Step& step)
{
    auto* node = find(event.id);
    if (node == nullptr || !node->watching || (event.boot_id != 0 && event.boot_id != node->boot_id)) {
        return;
    }
    node->watching = false;
    ++node->watch_failures;
    node->timers.watch = step.now + timing::retry_in(timing::watch_retry, node->watch_failures);
    if (node->liveness == Liveness::alive) {
        probe(*node, true, step);
    }
    rearm(*node, step);
}

/// TCP failed there. Nothing new goes to it until TCP is seen to answer, whatever it announces.
void Membership::fault(NodeRecord& node, std::string reason, Step& step)
{
    node.needs_tcp = true;
    node.tcp_proven = false;
    if (node.timers.probe_again == never && !node.probe_out) {
        node.timers.probe_again = step.now + timing::retry_in(timing::probe_retry, node.probe_failures);
    }
    step.emit(DropConnections{node.address.endpoint});
    if (node.liveness == Liveness::alive || node.liveness == Liveness::suspect) {
        become(node, Liveness::suspect, std::move(reason), step);
    }
}

void Membership::attempt_failed(const NodeId& id, const base::Endpoint& endpoint, std::uint64_t boot_id, Result result,
                                Step& step)
{
    auto* node = find(id);
    if (node == nullptr || endpoint != node->address.endpoint || boot_id != node->boot_id
        || (node->liveness != Liveness::alive && node->liveness != Liveness::suspect)) {
        return;
    }
    auto reason = "a request there was " + std::string(to_string(result));
    if (node->is_static()) {
        become(*node, Liveness::suspect, std::move(reason), step);
        node->tcp_proven = false;
        poll(*node, false, step);
    } else {
        node->probe_failures = 0;
        fault(*node, std::move(reason), step);
        probe(*node, true, step);
    }
    step.touched.push_back(node->id);
    rearm(*node, step);
}

bool Membership::is_fresh(const NodeRecord& node, base::Instant now) const
{
    const auto silent = now - std::max(node.last_beat, ears_.grace_from());
    const bool by_tcp = node.tcp_only_limit != never && node.silent_for(now) < timing::udp_silence_max;
    return silent <= patience(node) || by_tcp;
}

/// After the third return in a minute: 2, 4, 8 … 30 announcements in a row.
int Membership::beats_wanted(const NodeRecord& node)
{
    if (node.flaps.size() < flaps_free) {
        return 0;
    }
    const auto doublings = std::min<std::size_t>(node.flaps.size() - flaps_free, 4);
    return std::min(2 << doublings, 30);
}

/// How many announcements in a row it has to show before it is believed; 0: none, or it showed them.
int Membership::beats_lacking(NodeRecord& node, base::Instant now)
{
    while (!node.flaps.empty() && now - node.flaps.front() > timing::flap_window) {
        node.flaps.pop_front();
    }
    const int wanted = beats_wanted(node);
    return node.beats_in_row < wanted ? wanted : 0;
}

void Membership::note_flap(NodeRecord& node, base::Instant now)
{
    node.flaps.push_back(now);
    if (node.flaps.size() > flaps_free + 5) {
        node.flaps.pop_front();
    }
}

/// A node that says that its Ollama is down is suspect (lana.md 6), and its return counts like any other.
void Membership::let_back(NodeRecord& node, base::Instant now)
{
    if (node.announced == AnnouncedState::backend_down) {
        node.fell = true;
    } else if (node.fell && node.liveness == Liveness::alive && routable(node.announced)) {
        if (const int wanted = beats_lacking(node, now); wanted > 0) {
            node.liveness_reason = "flapping: must announce itself " + std::to_string(wanted) + " times in a row";
            return;
        }
        note_flap(node, now);
        node.fell = false;
        node.liveness_reason.clear();
    }
}

/// Something speaks for a suspect node: an announcement, or TCP.
void Membership::refute(NodeRecord& node, Step& step)
{
    if (node.needs_tcp) {
        if (!node.probe_out && node.timers.probe_again == never) {
            probe(node, true, step);
        }
        return;
    }
    if (!is_fresh(node, step.now)) {
        return;
    }
    if (const int wanted = beats_lacking(node, step.now); wanted > 0) {
        node.liveness_reason = "flapping: must announce itself " + std::to_string(wanted) + " times in a row";
        settle_state(node, step);
        return;
    }
    if (unproven(node)) {
        admit(node, step);
        return;
    }
    if (routable(node.announced)) { // else it comes back when it says so
        note_flap(node, step.now);
        node.fell = false;
    }
    revive(node, step);
}

/// It counts as there again, or for the first time.
void Membership::revive(NodeRecord& node, Step& step)
{
    if (!node.ever_confirmed) {
        node.ever_confirmed = true;
        ++confirmed_;
        step.emit(SavePool{});
    }
    if (node.liveness != Liveness::suspect) {
        node.last_beat = step.now; // its answer counts as an announcement
    }
    node.last_seen = step.now;
    node.saved = false;
    node.needs_tcp = false;
    node.confirm_failures = 0;
    node.probe_failures = 0;
    node.timers.probe_again = never;
    node.timers.silence = node.last_beat + patience(node);
    become(node, Liveness::alive, {}, step);
    open_watch(node, step);
}

} // namespace herd::fleet
