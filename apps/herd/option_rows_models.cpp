// Rows of [models]: what herd may do to requests for a model, and about models that somebody asks for.
#include "base/units.hpp"
#include "herd/option_rows.hpp"
#include "proxy/model_rules.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

using config::Table;

namespace {

using Json = nlohmann::ordered_json;
using Time = std::optional<base::Duration>;

constexpr int context_least = 4;
constexpr int context_most = 16'777'216;
constexpr std::string_view time_expected = "a time such as 30m, or -1 for ever";

std::unexpected<base::Error> wrong(std::string why) { return base::fail(base::Errc::bad_config, std::move(why)); }

/// As `keep_alive` of a request; empty: none.
base::Result<Time> parse_time(std::string_view text)
{
    if (text.empty()) {
        return Time{};
    }
    if (text == "-1") {
        return Time{proxy::for_ever};
    }
    const Time time = base::parse_duration(text);
    return time ? base::Result<Time>{time} : wrong(fmt::format("expected {}", time_expected));
}

std::string format_time(const Time& time)
{
    return !time ? std::string{} : *time == proxy::for_ever ? "-1" : base::format_duration(*time);
}

/// NAME={"num_ctx":8192,"keep_alive":"30m"}
base::Result<proxy::ModelRule> parse_rule(std::string_view text)
{
    const auto equals = text.find('=');
    proxy::ModelRule rule{.model = std::string{text.substr(0, equals)}};
    const auto json = equals == text.npos ? Json{} : Json::parse(text.substr(equals + 1), nullptr, false);
    if (!json.is_object()) {
        return wrong("there is no such key of this section; for a model write [models.\"NAME\"] with num_ctx and keep_alive below");
    }
    for (const auto& [key, value] : json.items()) {
        if (key == "num_ctx") {
            const bool fits = value.is_number_integer() && value.get<std::int64_t>() >= context_least && value.get<std::int64_t>() <= context_most;
            if (!fits) {
                return wrong(fmt::format("num_ctx expects a number of tokens from {} to {}", context_least, context_most));
            }
            rule.num_ctx = value.get<int>();
        } else if (key == "keep_alive") {
            auto time = parse_time(value.is_string() ? value.get<std::string>() : value.is_number_integer() ? value.dump() : "?");
            if (!time) {
                return wrong(fmt::format("keep_alive expects {}", time_expected));
            }
            rule.keep_alive = *time;
        } else {
            return wrong(fmt::format("unknown key \"{}\" (there are num_ctx and keep_alive)", key));
        }
    }
    return rule;
}

std::string format_rule(const proxy::ModelRule& rule)
{
    Json json = Json::object();
    if (rule.num_ctx) {
        json["num_ctx"] = *rule.num_ctx;
    }
    if (rule.keep_alive) {
        json["keep_alive"] = format_time(rule.keep_alive);
    }
    return rule.model + "=" + json.dump();
}

/// What only all of them together can tell.
void check_together(config::Option& option, const proxy::ModelRulesConfig& rules)
{
    option.assign = [each = std::move(option.assign), &rules](std::span<const std::string> texts) -> base::Result<void> {
        if (auto done = each(texts); !done) {
            return done;
        }
        const auto compiled = proxy::ModelRules::compile(rules);
        return compiled ? base::Result<void>{} : std::unexpected(compiled.error());
    };
}

void auto_pull_rows(Table& t, HerdOptions::Models& m)
{
    t.boolean({.key = "models.auto_pull",
               .sentence = "A request for a model that none of its nodes has makes one of them pull it, and waits for that. docs/REQUIRED_MODELS.md."},
              m.auto_pull);
    t.parsed_list({.key = "models.auto_pull_allow",
                   .sentence = "Which models that may be: names, or beginnings with a * behind them (`qwen3*` of Ollama's library, `hf.co/NAME/*`)."},
                  m.auto_pull_allow, "the name of a model, or the beginning of one with a * behind it",
                  [](std::string_view text) -> base::Result<fleet::ModelPattern> {
                      auto pattern = fleet::ModelPattern::parse(text);
                      return pattern ? base::Result<fleet::ModelPattern>{std::move(*pattern)} : base::fail(base::Errc::bad_config);
                  },
                  [](const fleet::ModelPattern& pattern) { return pattern.text; });
    t.duration({.key = "models.auto_pull_timeout",
                .sentence = "How long a request waits for that, within its own deadline (`[scheduler] queue_timeout`); the pull goes on."},
               m.auto_pull_timeout, std::chrono::seconds{1});
}

} // namespace

void models_rows(Table& t, HerdOptions& o)
{
    t.group("Models");
    auto& rules = o.models.rules;
    auto& each = t.parsed_list(
        {.key = "models",
         .sentence = "A table for each model: `[models.\"llama3.1:8b\"]` with `num_ctx = 16384` and `keep_alive = \"1h\"` below: for "
                     "requests of Ollama's own API that name none. docs/ALIASES_AND_PINS.md.",
         .in_environment = false,
         .pairs = true},
        rules.each, "a table with num_ctx and keep_alive", parse_rule, format_rule);
    each.kind = config::Kind::json;
    check_together(each, rules);
    t.choice({.key = "models.num_ctx",
              .sentence = "`protect`: a `num_ctx` that is less than what the model is loaded with becomes that number, so that no "
                          "request makes a node load its model again with less context. `pass`: it goes through as it is."},
             rules.protect, std::vector<std::pair<std::string, bool>>{{"pass", false}, {"protect", true}});
    t.parsed({.key = "models.keep_alive",
              .sentence = "How long a model stays in memory after a request of Ollama's own API that does not say so. Empty: as its "
                          "Ollama does."},
             rules.keep_alive, std::string{time_expected}, parse_time, format_time)
        .kind = config::Kind::duration;
    t.parsed({.key = "models.keep_alive_max",
              .sentence = "The most that such a request may ask for; more becomes this. Empty: no limit."},
             rules.keep_alive_max, std::string{time_expected}, parse_time, format_time)
        .kind = config::Kind::duration;
    auto_pull_rows(t, o.models);
    t.boolean({.key = "models.preload_popular",
               .sentence = "Load models that are asked for often and are in no node's memory, where they fit beside what is there. "
                           "docs/ALIASES_AND_PINS.md."},
              o.models.preload_popular);
}

} // namespace herd::app
