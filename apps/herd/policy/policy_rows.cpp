#include "herd/policy/policy_rows.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "config/values.hpp"
#include "fleet/model_name.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using base::Result;
using config::Option;
using config::Row;
using config::Table;

constexpr base::Duration day = std::chrono::hours{24};

Result<std::string> parse_id(std::string_view text)
{
    if (!text.empty() && !proxy::fit_for_frontend_id(text)) {
        return base::fail(base::Errc::bad_config);
    }
    return std::string{text};
}

Result<std::string> parse_hostname(std::string_view text)
{
    if (const std::string fault = proxy::hostname_fault(text); !fault.empty()) {
        return base::fail(base::Errc::bad_config, "expected " + fault);
    }
    return base::lower(text);
}

Result<double> parse_weight(std::string_view text)
{
    double weight = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
    if (error != std::errc{} || end != text.data() + text.size() || !(weight >= 0.01 && weight <= 100)) {
        return base::fail(base::Errc::bad_config);
    }
    return weight;
}

Result<std::string> parse_model_name(std::string_view text)
{
    const auto name = fleet::ModelName::parse(text);
    if (!name.valid || name.cloud) { // what runs in the cloud is not pulled
        return base::fail(base::Errc::bad_config);
    }
    return std::string{text};
}

Result<fleet::ModelPattern> parse_served_model(std::string_view text)
{
    auto pattern = fleet::ModelPattern::parse_served(text);
    return pattern ? Result<fleet::ModelPattern>{std::move(*pattern)} : base::fail(base::Errc::bad_config);
}

std::string as_written(const std::string& text) { return text; }

void optional_duration(Table& table, Row row, std::optional<base::Duration>& into)
{
    Option& option = table.parsed(
        std::move(row), into, "a duration such as 30s",
        [](std::string_view text) -> Result<std::optional<base::Duration>> {
            if (text.empty()) {
                return std::optional<base::Duration>{};
            }
            const auto value = base::parse_duration(text);
            if (!value || *value < base::Duration{} || *value > std::chrono::hours{24 * 365}) {
                return base::fail(base::Errc::bad_config);
            }
            return std::optional<base::Duration>{*value};
        },
        [](const std::optional<base::Duration>& value) { return value ? base::format_duration(*value) : std::string{}; });
    option.kind = config::Kind::duration;
}

void optional_bytes(Table& table, Row row, std::optional<base::Bytes>& into)
{
    Option& option = table.parsed(
        std::move(row), into, "a size such as 64MiB",
        [](std::string_view text) -> Result<std::optional<base::Bytes>> {
            const auto value = base::parse_bytes(text);
            if (!text.empty() && (!value || *value == 0)) {
                return base::fail(base::Errc::bad_config);
            }
            return text.empty() ? std::optional<base::Bytes>{} : std::optional<base::Bytes>{*value};
        },
        [](const std::optional<base::Bytes>& value) { return value ? fmt::format("{}", *value) : std::string{}; });
    option.kind = config::Kind::bytes;
}

void optional_number(Table& table, Row row, std::optional<std::uint32_t>& into, std::uint32_t high)
{
    Option& option = table.parsed(
        std::move(row), into, fmt::format("a number from 0 to {}", high),
        [high](std::string_view text) -> Result<std::optional<std::uint32_t>> {
            const auto value = base::parse_unsigned(text);
            if (!text.empty() && (!value || *value > high)) {
                return base::fail(base::Errc::bad_config);
            }
            return text.empty() ? std::optional<std::uint32_t>{} : std::optional{static_cast<std::uint32_t>(*value)};
        },
        [](const std::optional<std::uint32_t>& value) { return value ? fmt::format("{}", *value) : std::string{}; });
    option.kind = config::Kind::number;
}

std::string pin_fault(std::string_view text)
{
    const auto pins = proxy::Pins::compile(text);
    if (!pins) {
        return pins.error().context;
    }
    return nlohmann::json::accept(text) ? std::string{} : "holds a number or text that cannot be kept"; // 1e400, no UTF-8
}

std::string node_pin_fault(std::string_view text)
{
    if (auto fault = pin_fault(text); !fault.empty()) {
        return fault;
    }
    return proxy::Pins::compile(text)->names("model") ? "the model is pinned by a frontend, not by a node" : std::string{};
}

void pin_rows(Table& table, proxy::PinTexts& pins, std::string (*fault)(std::string_view), const std::string& where)
{
    const auto row = [&](const std::string& kind, const std::string& family, std::string& into) {
        const std::string of = family == "ollama" ? " on Ollama's own paths" : family == "openai" ? " on `/v1` paths" : "";
        table.json({.key = "pinned_" + kind + (family.empty() ? "" : "_" + family),
                    .sentence = "Properties written into the body of " + kind + of + where
                        + ", deep merge, the pinned value wins."},
                   into, fault);
    };
    row("completions", "", pins.completions);
    row("completions", "ollama", pins.completions_ollama);
    row("completions", "openai", pins.completions_openai);
    row("embeddings", "", pins.embeddings);
    row("embeddings", "ollama", pins.embeddings_ollama);
    row("embeddings", "openai", pins.embeddings_openai);
}

void whom_rows(Table& table, ConfiguredFrontend& frontend)
{
    auto& rules = frontend.rules;
    table.parsed({.key = "id", .sentence = "What it is known by; by default its name."}, rules.id,
                 "1 to 128 of letters, digits, `.`, `_` and `-`", parse_id, as_written);
    config::add_name(table, {.key = "name", .sentence = "What people call it; by default its id."}, rules.name);
    table.parsed_list({.key = "hostnames",
                       .sentence = "Host names that belong to it, without port: `team-a.lan`, `*.lan`, or `*` for all others."},
                      rules.hostnames, "host names", parse_hostname, as_written);
    table.boolean({.key = "path_prefix", .sentence = "It can also be reached as `/f/ID/…` under any host name."},
                  rules.path_prefix);
    table.boolean({.key = "active", .sentence = "With `false` it answers 503."}, rules.active);
    table.list({.key = "nodes", .sentence = "Its nodes, by name or id; `*` stands for all. An empty list is none."},
               frontend.nodes);
    config::add_labels(table, {.key = "node_labels", .sentence = "Only those of its nodes that carry all of these labels."},
                       rules.node_labels);
    config::add_labels(table,
                       {.key = "labels_required",
                        .sentence = "Demanded of the node as if each request said so in `X-Herd-Label`."},
                       rules.labels_required);
    table.parsed_list({.key = "required_models",
                       .sentence = "Models that each of its nodes is to have, as under `[[required]]`: herd has them pulled."},
                      frontend.required_models, "names of models", parse_model_name, as_written);
}

void may_rows(Table& table, proxy::FrontendConfig& rules)
{
    table.boolean({.key = "allow_completions", .sentence = "Chat, completion, response and message requests."},
                  rules.allow_completions);
    table.boolean({.key = "allow_embeddings", .sentence = "Embedding requests."}, rules.allow_embeddings);
    table.boolean({.key = "allow_model_admin", .sentence = "Pull, push, create, copy, delete, blobs and account of a node."},
                  rules.allow_model_admin);
    table.boolean({.key = "allow_cloud", .sentence = "Models that run in Ollama's cloud, and its web search."},
                  rules.allow_cloud);
    table.boolean({.key = "allow_retries", .sentence = "With `false` exactly one attempt."}, rules.allow_retries);
    optional_number(table, {.key = "retries", .sentence = "Further attempts after the first; by default those of `[scheduler]`."},
                    rules.retries, 100);
}

void limit_rows(Table& table, proxy::FrontendConfig& rules)
{
    table.number({.key = "per_minute", .sentence = "Inference requests a minute, then 429; 0: no limit."}, rules.per_minute, 0, 1'000'000);
    table.number({.key = "burst", .sentence = "How many of them may come at once; 0: all."}, rules.burst, 0, 1'000'000);
    table.number({.key = "max_parallel", .sentence = "Inference requests at a time, waiting ones included, then 429; 0: no limit."},
                 rules.max_parallel, 0, 1'000'000);
    optional_duration(table, {.key = "connect_timeout", .sentence = "Instead of `[proxy] connect_timeout`."}, rules.connect_timeout);
    optional_duration(table, {.key = "first_byte_timeout", .sentence = "Instead of `[proxy] first_byte_timeout`; 0: none."},
                      rules.first_byte_timeout);
    optional_duration(table, {.key = "idle_timeout", .sentence = "Instead of `[proxy] idle_timeout`; 0: none."}, rules.idle_timeout);
    optional_duration(table, {.key = "total_timeout", .sentence = "Instead of `[proxy] total_timeout`; 0: none."}, rules.total_timeout);
    optional_bytes(table, {.key = "max_body", .sentence = "Longest request body, instead of `[proxy] max_body`."}, rules.max_body);
}

} // namespace

void model_pin_rows(Table& table, ConfiguredPin& pin)
{
    table.parsed({.key = "model", .sentence = "The model that is to stay in memory. Required."}, pin.model, "the name of a model",
                 parse_model_name, as_written);
    table.text({.key = "node", .sentence = "Name or id of the node; none: wherever herd finds room."}, pin.node);
    table.number({.key = "replicas", .sentence = "On so many nodes; 0: on all that have it on disk."}, pin.replicas, 0, 4096);
}

std::string model_pin_fault(const ConfiguredPin& pin)
{
    return !pin.node.empty() && pin.replicas != 1 ? "names a node: replicas are for pins without one" : "";
}

proxy::FrontendConfig ConfiguredFrontend::config() const
{
    proxy::FrontendConfig out = rules;
    if (std::ranges::find(nodes, "*") == nodes.end()) {
        out.nodes = nodes;
    }
    return out;
}

void frontend_rows(Table& table, ConfiguredFrontend& frontend)
{
    auto& rules = frontend.rules;
    whom_rows(table, frontend);
    may_rows(table, rules);
    table.choice({.key = "policy", .sentence = "How a node is chosen among those that could serve a request."}, rules.policy,
                 std::vector<std::pair<std::string, fleet::Policy>>{{"cost", fleet::Policy::cost},
                                                                    {"round_robin", fleet::Policy::round_robin},
                                                                    {"random", fleet::Policy::random},
                                                                    {"least_busy", fleet::Policy::least_busy}});
    table.boolean({.key = "sticky",
                   .sentence = "A conversation (`X-Herd-Session`, else key or address) stays on the node that served it, "
                               "as long as that one may serve it."},
                  rules.sticky);
    table.duration({.key = "sticky_ttl", .sentence = "Forgotten when it was silent for so long."}, rules.sticky_ttl,
                   std::chrono::seconds{10}, day);
    limit_rows(table, rules);
    pin_rows(table, rules.pins, pin_fault, "");
}

std::string frontend_fault(const Table& rows)
{
    std::string id;
    std::string name;
    for (const Option& option : rows.options()) {
        if (option.row.key == "id") {
            id = option.show().front();
        } else if (option.row.key == "name") {
            name = option.show().front();
        }
    }
    if (id.empty() && name.empty()) {
        return "needs a name";
    }
    if (id.empty() && !proxy::fit_for_frontend_id(name)) {
        return fmt::format("\"{}\" needs an id of letters, digits, . _ and -: its name is none", name);
    }
    return {};
}

void complete(ConfiguredFrontend& frontend)
{
    auto& rules = frontend.rules;
    rules.id = rules.id.empty() ? rules.name : rules.id;
    rules.name = rules.name.empty() ? rules.id : rules.name;
}

fleet::NodeSettings ConfiguredSettings::node_settings() const
{
    fleet::NodeSettings out = settings;
    out.weight = weight;
    out.max_parallel = static_cast<int>(max_parallel);
    out.tier = static_cast<int>(tier);
    if (queue_limit) {
        out.queue_limit = static_cast<int>(*queue_limit);
    }
    return out;
}

bool ConfiguredSettings::plain() const { return node_settings() == fleet::NodeSettings{} && pins.empty(); }

void settings_rows(Table& table, ConfiguredSettings& settings, bool weight)
{
    table.boolean({.key = "active", .sentence = "With `false` it takes nothing new, as if drained."}, settings.settings.active);
    if (weight) {
        table
            .parsed({.key = "weight", .sentence = "A node of weight 2 looks twice as good as it is predicted to be."}, settings.weight,
                    "a number from 0.01 to 100", parse_weight, [](double value) { return fmt::format("{}", value); })
            .kind = config::Kind::number;
    }
    table.number({.key = "tier",
                  .sentence = "It serves only what no node of a lower tier that is there can: `1` for the small box beside a fast PC. "
                              "docs/NODES.md."},
                 settings.tier, 0, fleet::tier_max);
    table.parsed_list({.key = "models_allow",
                       .sentence = "It serves these models only: names, or beginnings with a * behind them (`qwen3*` of Ollama's library, "
                                   "`hf.co/NAME/*`). By default all it has."},
                      settings.settings.models_allow, "the name of a model, or the beginning of one with a * behind it", parse_served_model,
                      [](const fleet::ModelPattern& pattern) { return pattern.text; });
    table.boolean({.key = "allow_completions", .sentence = "Used for chat, completion, response and message requests."},
                  settings.settings.allow_completions);
    table.boolean({.key = "allow_embeddings", .sentence = "Used for embedding requests."}, settings.settings.allow_embeddings);
    table.number({.key = "max_parallel", .sentence = "Requests at a time over all its models; 0: as its slots allow. Where neither an agent nor slots tells how many one model takes, it does."},
                 settings.max_parallel, 0, 65536);
    optional_number(table,
                    {.key = "queue_limit",
                     .sentence = "So many may wait for it; when all nodes that could serve a request are full: 429."},
                    settings.queue_limit, 65536);
    pin_rows(table, settings.pins, node_pin_fault, " sent to it");
}

} // namespace herd::app
