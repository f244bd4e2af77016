// What exchanges that ended tell: loads and why they were needed, lengths, speeds, failures; per model on a node, per
// node and in all.
#include "herd/health/history.hpp"

#include "fleet/model_name.hpp"

#include <algorithm>

namespace herd::app::health {

namespace {

constexpr base::Duration cold_load = std::chrono::seconds{1};
constexpr base::Duration idle_gap_max = std::chrono::minutes{30};
constexpr std::size_t fallbacks_max = 256;
constexpr std::size_t errors_max = 64;
constexpr std::int64_t rate_tokens_min = 8; ///< shorter answers say little about speed

bool bad(fleet::Result result)
{
    using enum fleet::Result;
    return result == refused || result == timed_out || result == broken || result == failed;
}

/// A route that the Ollamas there do not know is told in their own words, and nothing is broken.
bool unknown_route(const Finished& exchange)
{
    return exchange.status == 404 && !exchange.attempts.empty() && exchange.attempts.back().outcome == fleet::Result::route_missing;
}

bool failed_request(const Finished& exchange)
{
    if (unknown_route(exchange)) {
        return false;
    }
    return exchange.status >= 500 || exchange.termination.starts_with('N') || exchange.termination.starts_with('T');
}

/// For want of a place: the queue was full (PQ), or every Ollama that could take it (PS). What a key, a frontend or one
/// client has too much of is refused while it is read (PR), and says nothing about the queue; a 429 of a node's own ends "--".
bool found_no_place(const Finished& exchange)
{
    return exchange.status == 429 && (exchange.termination == "PQ" || exchange.termination == "PS");
}

/// A request like the others, but no work of its model: it takes no slot, loads nothing and has no first token.
bool is_pull(const Finished& exchange) { return exchange.kind == Finished::Kind::pull; }

Counts counts_of(const Finished& exchange)
{
    const bool failed = failed_request(exchange);
    const std::size_t tries = exchange.on_several ? 1 : exchange.attempts.size();
    const bool retried = tries > 1;
    const bool well = !failed && exchange.status < 400;
    Counts counts;
    counts.requests = 1;
    counts.measuring = exchange.measures ? 1 : 0;
    counts.errors = failed ? 1 : 0;
    counts.retries = static_cast<std::uint32_t>(std::max<std::size_t>(tries, 1) - 1);
    counts.disconnects = exchange.termination.starts_with('C') ? 1 : 0;
    counts.incomplete = exchange.termination == "ND" ? 1 : 0;
    counts.rejected = found_no_place(exchange) ? 1 : 0;
    counts.fallbacks = exchange.fallback ? 1 : 0;
    counts.class_reloads = exchange.other_class ? 1 : 0;
    counts.slow_failures = (failed || retried) && !is_pull(exchange) && exchange.total > std::chrono::seconds{120} ? 1 : 0;
    counts.context_short = exchange.context_used > 0 && exchange.context_asked > exchange.context_used ? 1 : 0;
    counts.context_larger = exchange.context_asked > 0 && exchange.context_used > exchange.context_asked ? 1 : 0;
    switch (exchange.kind) {
    case Finished::Kind::text:
    case Finished::Kind::pull: break;
    case Finished::Kind::image:
        counts.images = well ? 1 : 0;
        counts.images_failed = failed ? 1 : 0;
        break;
    case Finished::Kind::transcription:
        counts.transcriptions = well ? 1 : 0;
        counts.transcriptions_failed = failed ? 1 : 0;
        break;
    }
    if (exchange.first_byte > base::Duration{} && exchange.status == 200 && !is_pull(exchange)) {
        counts.ttft_ms = base::seconds(exchange.first_byte) * 1000;
        counts.ttft_count = 1;
    }
    return counts;
}

} // namespace

/// As ModelName::parse() reads it. The same few come with every request.
const fleet::ModelName& History::name_of(std::string_view model)
{
    const auto known = names_.find(model);
    if (known != names_.end()) {
        return known->second;
    }
    if (names_.size() >= pairings_max) {
        names_.clear();
    }
    return names_.emplace(model, fleet::ModelName::parse(model)).first->second;
}

Pairing* History::pairing(const std::string& node, std::string_view model)
{
    const fleet::ModelName& name = name_of(model);
    if (node.empty() || name.key.empty()) {
        return nullptr;
    }
    auto found = pairings_.find(base::TextViews{node, name.key});
    if (found == pairings_.end()) {
        if (pairings_.size() >= pairings_max) {
            return nullptr;
        }
        found = pairings_.emplace(PairKey{node, name.key}, Pairing{}).first;
        found->second.model = name.display.empty() ? std::string{model} : name.display;
    }
    return &found->second;
}

NodeTraffic* History::traffic_of(const std::string& node)
{
    if (node.empty() || (traffic_.size() >= names_max && !traffic_.contains(node))) {
        return nullptr;
    }
    return &traffic_[node];
}

/// Counts a cold load and finds out why it was needed: another context, or nothing but time.
void History::note_load(const Finished& exchange, Pairing& pair, Counts& counts, base::Instant now)
{
    counts.cold_loads = 1;
    const bool was_here = pair.last_end != base::Instant{} && now - pair.last_end <= idle_gap_max;
    const auto came_between = [&](const auto& entry) {
        return entry.first.first == exchange.node && &entry.second != &pair && entry.second.last_load >= pair.last_end;
    };
    if (was_here && !exchange.other_class && pair.context_changed <= pair.last_end
        && std::ranges::none_of(pairings_, came_between)) {
        counts.idle_reloads = 1;
    }
    pair.last_load = now;
}

/// Of the model on the node: loads, lengths, speed. Adds to `counts` what only shows there.
void History::note_pairing(const Finished& exchange, Pairing& pair, Counts& counts, base::Instant now)
{
    const auto tokens = exchange.timings.prompt_tokens + exchange.timings.output_tokens;
    if (exchange.timings.load > cold_load) {
        note_load(exchange, pair, counts, now);
    }
    if (tokens > 0) {
        pair.tokens.add(now, static_cast<std::uint64_t>(tokens));
        counts.context_full = pair.context > 0 && tokens >= pair.context - 1 ? 1 : 0;
    }
    if (exchange.timings.eval > base::Duration{} && exchange.timings.output_tokens >= rate_tokens_min) {
        pair.pace.add(now, static_cast<double>(exchange.timings.output_tokens) / base::seconds(exchange.timings.eval));
    }
    pair.last_end = now;
    pair.windows.add(now, counts);
}

void History::note_attempts(const Finished& exchange, const Counts& counts, base::Instant now)
{
    for (std::size_t i = 0; i < exchange.attempts.size(); ++i) {
        const auto& attempt = exchange.attempts[i];
        if (NodeTraffic* node = traffic_of(attempt.node)) {
            const bool last = i + 1 == exchange.attempts.size();
            const bool ours = attempt.outcome == fleet::Result::cancelled; // our limit ended it: no fault of the node
            const bool wrong = bad(attempt.outcome) || (last && !ours && !exchange.on_several && failed_request(exchange));
            const bool connection = bad(attempt.outcome) && attempt.outcome != fleet::Result::failed;
            Counts here = last ? counts : Counts{};
            here.attempts += 1;
            here.bad_attempts += wrong ? 1 : 0;
            here.no_connection += connection ? 1 : 0;
            node->touched = now;
            node->windows.add(now, here);
        }
    }
}

void History::note_turned_away(const Finished& exchange)
{
    const fleet::ModelName name = fleet::ModelName::parse(exchange.requested);
    if (name.valid && (turned_away_.size() < pairings_max || turned_away_.contains(name.key))) {
        TurnedAway& away = turned_away_[name.key];
        away.model = name.display;
        ++away.count;
    }
}

void History::note_ever(const Finished& exchange, Pairing& pair)
{
    const bool failed = failed_request(exchange);
    Pairing::Ever& ever = pair.ever;
    ever.failed += failed ? 1 : 0;
    if (failed || exchange.status >= 400) {
        return;
    }
    ++ever.completed;
    ever.total += exchange.total;
    ever.prompt_tokens += exchange.timings.prompt_tokens;
    ever.output_tokens += exchange.timings.output_tokens;
    ever.cold += exchange.timings.load > cold_load ? 1 : 0;
    if (exchange.cached_tokens >= 0 && exchange.timings.prompt_tokens > 0) {
        ++ever.cache_samples;
        ever.cache_prompt_tokens += exchange.timings.prompt_tokens;
        ever.cached_tokens += std::min(exchange.cached_tokens, exchange.timings.prompt_tokens);
    }
}

/// Of the past as of the present. Returns what it was an exchange with; null where that is not kept.
Pairing* History::note(const Finished& exchange, base::Instant at)
{
    Counts counts = counts_of(exchange);
    if (exchange.fallback && (fallbacks_.size() < fallbacks_max || fallbacks_.contains(exchange.requested))) {
        fallbacks_[exchange.requested].add(at, {.fallbacks = 1});
    }
    if (counts.errors > 0) {
        const std::string how = std::to_string(exchange.status) + ' ' + exchange.termination;
        if (errors_.size() < errors_max || errors_.contains(how)) {
            errors_[how].add(at, {.errors = 1});
        }
    }
    Pairing* const pair = is_pull(exchange) ? nullptr : pairing(exchange.node, exchange.model);
    if (pair != nullptr) {
        note_pairing(exchange, *pair, counts, at);
    }
    all_.add(at, counts);
    note_attempts(exchange, counts, at);
    return pair;
}

void History::recalled(const Finished& exchange, base::Instant at) { (void)note(exchange, at); }

std::map<std::string, History::Popular> History::popular(base::Instant now) const
{
    constexpr double much = 10;
    const auto wanted = [](const Counts& counts) { return counts.requests - counts.measuring; };
    std::map<std::string, Popular> all;
    for (const auto& [key, pair] : pairings_) {
        Popular& each = all[key.second];
        each.model = pair.model;
        each.priority += 3.0 * wanted(pair.windows.day(now)) + wanted(pair.windows.week(now)) / 7.0;
        each.last_hour += wanted(pair.windows.recent(now));
    }
    std::erase_if(all, [](const auto& each) { return each.second.priority < much; });
    return all;
}

History::TopError History::top_error(base::Instant now) const
{
    TopError top;
    for (const auto& [how, windows] : errors_) {
        if (const auto count = windows.day(now).errors; count > top.count) {
            top = {how, count};
        }
    }
    return top;
}

void History::finished(const Finished& exchange, base::Instant now)
{
    if (Pairing* const pair = note(exchange, now)) {
        note_ever(exchange, *pair);
    }
    if (found_no_place(exchange)) {
        note_turned_away(exchange);
    }
}

} // namespace herd::app::health
