// How requests fare: errors, retries, queues, streams that hang.
#include "herd/health/registry.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app::health {

namespace {

using namespace std::chrono_literals;

double share(std::uint32_t part, std::uint32_t whole)
{
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}
std::int64_t whole(std::uint32_t number) { return number; }

/// Fewer requests than this prove nothing in percent.
constexpr std::uint32_t requests_min = 20;
constexpr std::uint32_t errors_min = 3;

void judge_errors(std::uint32_t bad_hour, std::uint32_t all_hour, std::uint32_t bad, std::uint32_t all, const std::string& node, Findings& out)
{
    const double rate = share(bad, all);
    if (bad < errors_min || all < requests_min || rate < 5) {
        return;
    }
    const double now = share(bad_hour, all_hour);
    const bool over = now < 5;
    Finding finding{.severity = over ? Severity::info : rate >= 50 && now >= 50 ? Severity::critical : Severity::warning, .node = node, .resolved = over};
    const std::string whose = node.empty() ? "requests" : "attempts at " + node;
    finding.summary = fmt::format("{} of {} {} failed in 24 h ({:.1f} %), {} of {} in the last hour", bad, all, whose, rate, bad_hour, all_hour);
    finding.advice = node.empty() ? "`herd requests --status failed` lists them, `herd why ID` tells what happened to one"
                                  : fmt::format("`journalctl -u ollama` on {}; `herd drain {}` until it is well", node, node);
    finding.data = {{"error_rate_pct", rate}, {"failed", whole(bad)}, {"total", whole(all)}};
    out.push_back(std::move(finding));
}

/// Of "502 ND": what the letters of the access log mean.
std::string end_words(std::string_view error)
{
    const auto letters = error.substr(std::min(error.find(' '), error.size() - 1) + 1);
    const char who = letters.empty() ? '-' : letters.front();
    const char phase = letters.size() < 2 ? '-' : letters[1];
    const std::string_view by = who == 'N' ? "a node" : who == 'T' ? "a deadline" : who == 'P' ? "herd" : "an error";
    const std::string_view when = phase == 'D' ? "within the answer"
        : phase == 'H'                         ? "before the answer began"
        : phase == 'C'                         ? "while connecting"
        : phase == 'Q' || phase == 'S'         ? "in the queue"
        : phase == 'R'                         ? "while the request was read"
                                               : "as its answer";
    return fmt::format("{}, {}", by, when);
}

void high_error_rate(const Evidence& e, Findings& out)
{
    for (const auto& [name, traffic] : e.history.traffic()) {
        const Counts hour = traffic.windows.recent(e.now);
        const Counts day = traffic.windows.day(e.now);
        judge_errors(hour.bad_attempts, hour.attempts, day.bad_attempts, day.attempts, name, out);
    }
    if (std::ranges::any_of(out, &Finding::costs)) {
        return; // the node that makes them is named; the sum would only say it twice
    }
    const Counts hour = e.history.all().recent(e.now);
    const Counts day = e.history.all().day(e.now);
    judge_errors(hour.errors, hour.requests, day.errors, day.requests, {}, out);
    if (const auto top = e.history.top_error(e.now); top.count > 0 && !out.empty() && out.back().node.empty()) {
        out.back().advice = fmt::format("most ({}) ended with {} ({}): {}", top.count, top.what, end_words(top.what), out.back().advice);
        out.back().data.emplace_back("top_error", top.what);
    }
}

void high_retry_rate(const Evidence& e, Findings& out)
{
    const Counts hour = e.history.all().recent(e.now);
    if (hour.requests < requests_min) {
        return;
    }
    const double mean = static_cast<double>(hour.retries) / static_cast<double>(hour.requests);
    if (mean >= 0.3) {
        out.push_back({.severity = mean >= 0.5 ? Severity::warning : Severity::info,
                       .summary = fmt::format("{:.2f} retries per request in the last hour ({} for {} requests)", mean, hour.retries, hour.requests),
                       .advice = "`herd requests` shows which node fails; `herd drain NODE` keeps work away from it",
                       .data = {{"avg_retries_per_request", mean}, {"total_retries", whole(hour.retries)}, {"total_requests", whole(hour.requests)}}});
    }
}

void connection_failures(const Evidence& e, Findings& out)
{
    for (const auto& [name, traffic] : e.history.traffic()) {
        const Counts recent = traffic.windows.recent(e.now, 15min);
        const Counts day = traffic.windows.day(e.now);
        if (recent.no_connection < 3 && (recent.no_connection > 0 || day.no_connection <= 50)) {
            continue;
        }
        const bool over = recent.no_connection == 0;
        const bool critical = recent.no_connection > 10 && share(recent.no_connection, recent.attempts) >= 10;
        out.push_back({.severity = over ? Severity::info : critical ? Severity::critical : Severity::warning,
                       .summary = fmt::format("{} connections to {} failed or broke in the last 15 minutes, {} in 24 h", recent.no_connection, name,
                                              day.no_connection),
                       .advice = fmt::format("check the network to {}, and whether its Ollama or herd-node restarts (`journalctl -u herd-node -u ollama`)",
                                             name),
                       .node = name,
                       .data = {{"recent_failures", whole(recent.no_connection)}, {"total_failures", whole(day.no_connection)}},
                       .resolved = over});
    }
}

/// What a kind of trouble was counted for in 24 h, by model; at one node, or at all.
CountsByName by_model(const Evidence& e, std::uint32_t Counts::* what, const std::string& node = {})
{
    CountsByName models;
    for (const auto& [key, pair] : e.history.pairings()) {
        if (const auto count = node.empty() || key.first == node ? pair.windows.day(e.now).*what : 0; count > 0) {
            models[pair.model] += count;
        }
    }
    return models;
}

void client_disconnects(const Evidence& e, Findings& out)
{
    const Counts hour = e.history.all().recent(e.now);
    const Counts day = e.history.all().day(e.now);
    if (day.disconnects < 3) {
        return;
    }
    const double rate = share(day.disconnects, day.requests);
    const bool over = hour.disconnects == 0;
    out.push_back({.severity = !over && rate > 1 && day.requests >= requests_min && hour.disconnects >= 3 ? Severity::warning : Severity::info,
                   .summary = fmt::format("clients left before the answer's end {} times in 24 h ({:.1f} % of requests), {} times in the last hour",
                                          day.disconnects, rate, hour.disconnects),
                   .advice = "raise the clients' timeouts (Python: ollama.Client(timeout=600)); people who press Stop count here too",
                   .data = {{"disconnects_24h", whole(day.disconnects)}, {"disconnects_1h", whole(hour.disconnects)}, {"rate_pct", rate},
                            {"by_model", by_model(e, &Counts::disconnects)}},
                   .resolved = over});
}

void incomplete_streams(const Evidence& e, Findings& out)
{
    for (const auto& [name, traffic] : e.history.traffic()) {
        const Counts hour = traffic.windows.recent(e.now);
        const Counts day = traffic.windows.day(e.now);
        if (day.incomplete < 2) {
            continue;
        }
        const double rate = share(day.incomplete, day.requests);
        const bool over = hour.incomplete == 0;
        out.push_back({.severity = !over && rate > 0.5 ? Severity::warning : Severity::info,
                       .summary = fmt::format("{} broke off {} answers in 24 h ({:.1f} %), {} in the last hour", name, day.incomplete, rate,
                                              hour.incomplete),
                       .advice = fmt::format("on {}: `journalctl -u ollama | grep -i -E 'signal|oom|cuda'`; a model that does not fit crashes its runner",
                                             name),
                       .node = name,
                       .data = {{"incomplete_24h", whole(day.incomplete)}, {"incomplete_1h", whole(hour.incomplete)}, {"rate_pct", rate},
                                {"by_model", by_model(e, &Counts::incomplete, name)}},
                       .resolved = over});
    }
}

/// Mean queue between two ages.
double mean_queue(const Evidence& e, base::Duration from, base::Duration to)
{
    double sum = 0;
    int count = 0;
    for (const QueueSample& sample : e.history.queue()) {
        const auto age = e.now - sample.at;
        if (age >= to && age < from) {
            sum += sample.queued;
            ++count;
        }
    }
    return count == 0 ? 0 : sum / count;
}

/// The model that most wait for; empty when nobody waits now.
std::string longest_queue(const Evidence& e)
{
    std::string model;
    int most = 0;
    for (const auto& [key, queue] : e.fleet.queues) {
        if (queue.waiting > most) {
            most = queue.waiting;
            model = queue.model;
        }
    }
    return model;
}

void queue_growing(const Evidence& e, Findings& out)
{
    const double lately = mean_queue(e, 30s, 0s);
    const double before = mean_queue(e, 120s, 60s);
    if (lately >= 4 && lately >= 1.5 * before + 2 && !e.history.queue().empty() && e.now - e.history.queue().front().at >= 60s) {
        const std::string model = longest_queue(e);
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("{} requests wait{}; {:.0f} on average in the last 30 s, {:.0f} a minute before", e.fleet.totals.queued,
                                              model.empty() ? "" : fmt::format(", most of them for {}", model), lately, before),
                       .advice = fmt::format("`herd pull {} --node NODE` on a node that lacks it, a higher OLLAMA_NUM_PARALLEL where memory is free, "
                                             "or one more node",
                                             model.empty() ? "MODEL" : model),
                       .data = {{"queued", static_cast<std::int64_t>(e.fleet.totals.queued)}}});
    }
}

void queue_saturated(const Evidence& e, Findings& out)
{
    const Counts recent = e.history.all().recent(e.now, Windows::step);
    if (recent.rejected > 0) {
        const double rate = share(recent.rejected, recent.requests);
        out.push_back({.severity = rate > 5 ? Severity::critical : Severity::warning,
                       .summary = fmt::format("{} requests were turned away (429) in the last 5 minutes, {:.1f} % of all", recent.rejected, rate),
                       .advice = fmt::format("pull the model on another node or add one; `[scheduler] queue_per_model` is {}", e.own.queue_per_model),
                       .data = {{"rejected", whole(recent.rejected)}, {"rate_pct", rate}}});
    }
}

void stuck_stream(const Evidence& e, Findings& out)
{
    for (const Stuck& stuck : e.history.stuck()) {
        const bool answering = stuck.phase == 'D';
        if (stuck.silent < (answering ? stuck_answering : stuck_waiting)) {
            continue;
        }
        out.push_back({.severity = Severity::warning,
                       .summary = fmt::format("request {} ({}) at {} {} for {:.0f} s", stuck.id, stuck.model, stuck.node,
                                              answering ? "has sent nothing" : "waits for its first byte", base::seconds(stuck.silent)),
                       .advice = fmt::format("`ollama ps` and `journalctl -u ollama` on {}; restart Ollama there if its runner hangs; [proxy] "
                                             "idle_timeout ends such streams",
                                             stuck.node),
                       .node = stuck.node,
                       .model = stuck.model,
                       .data = {{"request", stuck.id}, {"silent_s", base::seconds(stuck.silent)}}});
        if (out.size() >= 16) {
            return;
        }
    }
}

void fallbacks(const Evidence& e, Findings& out)
{
    for (const auto& [model, windows] : e.history.fallbacks()) {
        if (const auto count = windows.day(e.now).fallbacks; count > 0) {
            out.push_back({.severity = Severity::info,
                           .summary = fmt::format("another model stood in for {} {} times in 24 h", model, count),
                           .advice = fmt::format("`ollama pull {}` on more nodes, or a node with more memory for it", model),
                           .model = model,
                           .data = {{"total_fallbacks", whole(count)}, {"top_requested", Names{model}}},
                           .activity = true});
        }
    }
}

void activity(std::uint32_t made, std::uint32_t failed, const char* what, Findings& out)
{
    if (made + failed == 0) {
        return;
    }
    out.push_back({.severity = failed > 0 ? Severity::warning : Severity::info,
                   .summary = failed > 0 ? fmt::format("{} {} in 24 h, and {} that failed", made, what, failed) : fmt::format("{} {} in 24 h", made, what),
                   .advice = failed > 0 ? "`herd requests --status failed` shows which, `herd why ID` what happened" : "nothing",
                   .data = {{"completed", whole(made)}, {"failed", whole(failed)}},
                   .activity = failed == 0});
}

void image_generation(const Evidence& e, Findings& out)
{
    const Counts day = e.history.all().day(e.now);
    activity(day.images, day.images_failed, "images made", out);
}

void transcription_activity(const Evidence& e, Findings& out)
{
    const Counts day = e.history.all().day(e.now);
    activity(day.transcriptions, day.transcriptions_failed, "recordings written down", out);
}

constexpr Check checks[] = {
    {"high_error_rate", "Errors",
     "At least 3 and 5 % of the attempts at a node, or of all requests, failed within 24 h (of at least 20); critical at 50 %. Clients that left, and routes that an Ollama does not know, do not count.",
     "look at Ollama's log on that node", "warning; critical at 50 %; info when over", high_error_rate, 0s, 30s},
    {"high_retry_rate", "Retries", "0.3 (warning: 0.5) retries per request in the last hour, of at least 20 requests.", "look for the node that fails",
     "info; warning from 0.5", high_retry_rate, 0s, 30s},
    {"connection_failures", "Connections fail",
     "3 or more connections to a node were refused, timed out or broke within 15 minutes (critical: more than 10, and 10 % of all).",
     "check the network to that node", "warning; critical above 10; info when over", connection_failures, 0s, 30s},
    {"client_disconnects", "Clients leave", "Clients left before the end of their answers 3 times within 24 h; a warning above 1 %.",
     "raise the clients' timeouts", "info; warning above 1 %", client_disconnects, 0s, 30s},
    {"incomplete_streams", "Answers break off", "A node broke off 2 answers or more after their first byte within 24 h; a warning above 0.5 %.",
     "look for crashes of Ollama's runner", "info; warning above 0.5 %", incomplete_streams, 0s, 30s},
    {"queue_growing", "Queue grows", "At least 4 requests wait on average in the last 30 s, 1.5 times and 2 more than a minute before.",
     "another copy of the model, or another node", "warning", queue_growing, 0s, 30s},
    {"queue_saturated", "Queue full",
     "Requests were turned away with 429 in the last 5 minutes because the queue or every node was full (limits of a client, a key or a "
     "frontend do not count); critical above 5 % of all.",
     "another copy of the model, or another node", "warning; critical above 5 %", queue_saturated, 0s, 10s},
    {"stuck_stream", "Stuck stream", "An answer that had begun has sent nothing for 60 s, or a request has waited for its first byte for 300 s.",
     "look at Ollama on that node", "warning", stuck_stream, 0s, 5s},
    {"vram_fallback_active", "Fallback models used", "Another model ran than the one asked for (X-Herd-Fallback-Models) within 24 h; costs no points.",
     "pull the model that was asked for", "info", fallbacks, 0s, 60s},
    {"image_generation", "Images", "Images were asked for within 24 h; costs no points unless some failed.", "`herd requests --status failed`",
     "info; warning when some failed", image_generation, 0s, 60s},
    {"transcription_activity", "Transcriptions", "Recordings were sent to be written down within 24 h; costs no points unless some failed.",
     "`herd requests --status failed`", "info; warning when some failed", transcription_activity, 0s, 60s},
};

} // namespace

std::span<const Check> request_checks() { return checks; }

} // namespace herd::app::health
