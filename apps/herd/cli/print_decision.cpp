#include "herd/cli/print_decision.hpp"

#include "herd/cli/answer_json.hpp"
#include "herd/cli/print_signals.hpp"

#include <fmt/format.h>

namespace herd::app {

namespace {

using namespace answer;
using cli::clean;
using cli::Colour;
using cli::TextTable;

/// "12 ms", "3.4 s", "2 min 5 s"; empty when it is not known.
std::string span(std::optional<double> seconds)
{
    if (!seconds) {
        return {};
    }
    if (*seconds < 1) {
        return fmt::format("{:.0f} ms", *seconds * 1000);
    }
    return *seconds < 100 ? fmt::format("{:.1f} s", *seconds) : cli::human_span(*seconds);
}

/// A term of a cost: nothing where it is nothing.
std::string term(const Json& cost, std::string_view key)
{
    const auto value = number(cost, key);
    return value && *value >= 0.0005 ? span(value) : std::string{};
}

std::string_view reason_words(std::string_view reason)
{
    struct Words {
        std::string_view reason;
        std::string_view words;
    };
    static constexpr Words all[]{
        {"not_pinned", "another node was asked for"},
        {"not_member", "is not one of the frontend's nodes"},
        {"not_allowed", "is not used for such requests"},
        {"bound_elsewhere", "the conversation goes on at another node"},
        {"label_missing", "lacks a label that was asked for"},
        {"tried", "failed this request already"},
        {"not_verified", "not confirmed yet"},
        {"suspect", "something failed there; being verified"},
        {"draining", "draining"},
        {"offline", "offline"},
        {"unreachable", "cannot be reached"},
        {"model_missing", "does not have the model"},
        {"other_api", "has OpenAI's paths (/v1/…) only"},
        {"cloud", "is in the cloud, where this request may not go"},
        {"cannot_fit", "the model does not fit in its memory"},
        {"held_back", "this model failed there lately"},
        {"loading", "another load is in progress there"},
        {"not_loaded", "does not have it in memory, and nothing is loaded for a second try"},
        {"other_tier", "another tier is preferred: a node of a lower one can do it"},
        {"model_not_allowed", "may not serve this model (models_allow)"},
        {"sent_elsewhere", "everything is sent to another node (`herd use`)"},
        {"reserved", "kept free for others: this client used more than its share"},
    };
    for (const Words& entry : all) {
        if (entry.reason == reason) {
            return entry.words;
        }
    }
    return reason;
}

/// `sent`: where everything is sent; empty when that is not known, as of old decisions.
std::string remarks(const Json& candidate, const std::string& sent)
{
    if (!is_true(candidate, "eligible")) {
        const std::string reason = text(candidate, "reason");
        return reason == "sent_elsewhere" && !sent.empty() ? sent : std::string{reason_words(reason)};
    }
    std::string out = is_true(candidate, "loaded") ? "in memory" : "cold";
    if (is_true(candidate, "loaded") && !is_true(candidate, "same_class")) {
        out = "loaded with other options";
    }
    if (const auto cached = count(candidate, "cached_tokens"); cached > 0) {
        out += fmt::format(", {} tokens cached", cached);
    }
    return out;
}

void candidate_row(TextTable& table, const Json& candidate, const std::string& chosen, const std::string& sent)
{
    const Json& cost = at(candidate, "cost");
    const std::string name = text(candidate, "node");
    const bool eligible = is_true(candidate, "eligible");
    const Colour colour = name == chosen && eligible ? Colour::green : eligible ? Colour::none : Colour::dim;
    const auto rate = number(candidate, "decode_tokens_per_s").value_or(0);
    table.row({{name, colour},
               {eligible ? span(number(cost, "total_s")) : "", colour},
               {term(cost, "wait_s"), Colour::none},
               {term(cost, "load_s"), Colour::none},
               {term(cost, "prefill_s"), Colour::none},
               {term(cost, "decode_s"), Colour::none},
               {term(cost, "risk_s"), Colour::none},
               {eligible ? fmt::format("{} of {}", count(candidate, "free_slots"), count(candidate, "slots")) : "",
                Colour::none},
               {eligible && rate > 0 ? fmt::format("{:.0f} tok/s", rate) : "", Colour::none},
               {remarks(candidate, sent), eligible ? Colour::none : Colour::yellow}});
}

void print(const Json& decision, const cli::Terminal& terminal)
{
    const std::string model = text(decision, "model");
    const std::string chosen = text(decision, "chosen");
    if (chosen.empty()) {
        const Json& note = at(decision, "note");
        const std::string why = note.is_string() ? clean(note.get_ref<const std::string&>(), 300) : "nobody can take it";
        terminal.out << fmt::format("{}: {}\n", model, terminal.paint(Colour::yellow, why));
    } else {
        terminal.out << fmt::format("{} runs on {}", model, terminal.paint(Colour::green, chosen));
        if (const std::string asked = text(decision, "requested_model"); !asked.empty()) {
            terminal.out << " in place of " << asked;
        }
        if (const auto total = number(decision, "predicted_s"); total && *total > 0) {
            terminal.out << fmt::format(", done in about {}", span(total));
        }
        terminal.out << '\n';
        if (const std::string why = clean(text(decision, "note"), 300); !why.empty()) {
            terminal.out << why << '\n';
        }
    }
    if (const auto prompt = count(decision, "prompt_tokens"); prompt > 0) {
        terminal.out << fmt::format("about {} to read, {} to write", cli::plural(prompt, "token", "tokens"),
                                    count(decision, "output_tokens"));
        const auto ahead = count(decision, "ahead");
        terminal.out << (ahead > 0 ? fmt::format("; {} ahead of it\n", cli::plural(ahead, "request", "requests")) : "\n");
    }
    TextTable table({"NODE", "TOTAL", "WAIT", "LOAD", "PREFILL", "DECODE", "RISK", "FREE SLOTS", "SPEED", "REMARKS"});
    const std::string sent = clean(text(decision, "sent"), 100);
    for (const Json& candidate : list(decision, "candidates")) {
        candidate_row(table, candidate, chosen, sent);
    }
    if (!table.empty()) {
        terminal.out << '\n';
        table.print(terminal);
    }
    if (const auto left_out = count(decision, "left_out"); left_out > 0) {
        terminal.out << fmt::format("and {} more\n", left_out);
    }
    print_signals(list(decision, "candidates"), terminal);
}

std::optional<double> from_ms(const Json& json, std::string_view key)
{
    const auto value = number(json, key);
    return value ? std::optional{*value / 1000} : std::nullopt;
}

std::string outcome_words(const Json& record)
{
    const auto status = count(record, "status");
    std::string out = status > 0 ? fmt::format("answered {}", status) : "not answered";
    if (const std::string node = text(record, "node"); !node.empty()) {
        out += " by " + node;
    }
    if (const auto total = from_ms(record, "total_ms")) {
        out += fmt::format(" after {}", span(total));
    }
    return out;
}

void print_times(const Json& record, const cli::Terminal& terminal)
{
    std::string times;
    const auto add = [&times](std::string_view what, const std::string& value) {
        if (!value.empty()) {
            times += fmt::format("{}{} {}", times.empty() ? "" : ", ", what, value);
        }
    };
    add("waited", span(from_ms(record, "queue_ms")));
    add("loaded", span(from_ms(record, "load_ms")));
    add("first byte after", span(from_ms(record, "ttft_ms")));
    if (const auto tokens = count(record, "prompt_tokens"); tokens > 0) {
        add("read", fmt::format("{} tokens", tokens));
    }
    if (const auto tokens = count(record, "cached_tokens"); tokens > 0) {
        add("of them cached", fmt::format("{}", tokens));
    }
    if (const auto tokens = count(record, "output_tokens"); tokens > 0) {
        add("wrote", fmt::format("{} tokens", tokens));
    }
    if (const auto rate = number(record, "tokens_per_s"); rate && *rate > 0) {
        add("at", fmt::format("{:.1f} tok/s", *rate));
    }
    if (!times.empty()) {
        terminal.out << "  " << times << '\n';
    }
}

} // namespace

base::Result<void> print_decision(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    print(*json, terminal);
    return {};
}

base::Result<void> print_record(std::string_view body, const cli::Terminal& terminal)
{
    const auto json = parse(body);
    if (!json) {
        return std::unexpected(json.error());
    }
    const Json& inner = at(*json, "request");
    const Json& record = inner.is_object() ? inner : *json;
    const std::string asked = text(record, "requested_model");
    const std::string ran = text(record, "model");
    terminal.out << fmt::format("{} {}: {}\n", terminal.paint(Colour::bold, text(record, "id")), text(record, "path"),
                                outcome_words(record));
    if (!asked.empty() && is_true(record, "fallback")) {
        terminal.out << fmt::format("  {} in place of {}\n", ran, asked);
    }
    print_times(record, terminal);
    const Json& error = at(record, "error");
    if (error.is_string() && !error.get_ref<const std::string&>().empty()) {
        terminal.out << "  " << terminal.paint(Colour::red, clean(error.get_ref<const std::string&>(), 300)) << '\n';
    }
    const Json& attempts = list(record, "attempts");
    for (const Json& attempt : attempts) {
        if (attempts.size() > 1 || text(attempt, "outcome") != "served") {
            terminal.out << fmt::format("  tried {}: {} after {}\n", text(attempt, "node"), text(attempt, "outcome"),
                                        span(from_ms(attempt, "ms")));
        }
    }
    const Json& decision = at(record, "decision").is_object() ? at(record, "decision") : at(*json, "decision");
    if (decision.is_object()) {
        terminal.out << '\n';
        print(decision, terminal);
    }
    return {};
}

base::Result<std::string> question_json(std::string_view text, const std::string& model, const std::string& path)
{
    Json json = text.empty() ? Json::object() : Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::malformed, "the body is not a JSON object");
    }
    json["model"] = model;
    if (!path.empty()) {
        json["path"] = path;
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app
