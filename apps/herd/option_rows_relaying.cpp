// Rows of how requests are scheduled and relayed.
#include "base/text.hpp"
#include "herd/option_rows.hpp"
#include "proxy/proxy.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

namespace herd::app {

using config::Table;

namespace {

base::Result<double> parse_share(std::string_view text)
{
    if (!text.ends_with('%')) {
        return base::fail(base::Errc::bad_config);
    }
    const auto percent = base::parse_unsigned(text.substr(0, text.size() - 1));
    if (!percent || *percent > 100) {
        return base::fail(base::Errc::bad_config);
    }
    return static_cast<double>(*percent) / 100;
}

/// A part of something, written "20%".
void share(Table& t, config::Row row, double& into)
{
    t.parsed(std::move(row), into, "a share from 0% to 100%", parse_share,
             [](double value) { return fmt::format("{:.0f}%", value * 100); });
}

base::Result<int> parse_context(std::string_view text)
{
    const auto tokens = base::parse_unsigned(text);
    if (!tokens || *tokens < 4 || *tokens > 16'777'216) {
        return base::fail(base::Errc::bad_config, "expected numbers of tokens from 4 to 16777216");
    }
    return static_cast<int>(*tokens);
}

/// Its value is recorded with each request.
base::Result<std::string> parse_session_header(std::string_view text)
{
    constexpr std::array<std::string_view, 7> secrets{"authorization", "proxy-authorization", "cookie",         "x-api-key",
                                                      "x-auth-token",  "herd-mac",            "x-herd-proof"};
    const bool token = !text.empty() && text.size() <= 64
        && std::ranges::all_of(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_'; });
    if (!token || std::ranges::any_of(secrets, [text](std::string_view one) { return base::iequals(one, text); })) {
        return base::fail(base::Errc::bad_config);
    }
    return std::string{text};
}

base::Result<proxy::Alias> parse_alias(std::string_view text)
{
    const auto equals = text.find('=');
    proxy::Alias alias{std::string{base::trim(text.substr(0, equals))},
                       equals == text.npos ? std::string{} : std::string{base::trim(text.substr(equals + 1))}};
    if (auto fault = proxy::alias_fault({alias}); !fault.empty()) {
        return base::fail(base::Errc::bad_config, std::move(fault));
    }
    return alias;
}

} // namespace

void scheduler_rows(Table& t, HerdOptions& o)
{
    t.group("Scheduling");
    auto& s = o.scheduler;
    t.number({.key = "scheduler.queue_per_model",
              .sentence = "Requests that may wait for one model; more are answered 429."},
             s.queue_per_model, 1, 1'000'000);
    t.duration(
        {.key = "scheduler.queue_timeout", .sentence = "How long a request may wait for a slot before 504."},
        s.queue_timeout, std::chrono::seconds{1});
    t.duration(
        {.key = "scheduler.hold_timeout",
         .sentence =
             "How long a request for a known model is held while no reachable node has it, before 503."},
        s.hold_timeout);
    t.duration({.key = "scheduler.settle_time",
                .sentence = "After a start, how long a request for an unknown model is held, since a node that has "
                            "it may yet be heard of, before 404. Less, if there is a saved pool and all of it answered."},
               s.settle_time);
    t.duration({.key = "scheduler.patience",
                .sentence = "A request that has waited for this long goes before those of all priorities."},
               s.patience, std::chrono::seconds{1});
    t.number({.key = "scheduler.retries",
              .sentence = "Further nodes that a request may try before its first byte of answer."},
             s.retries, 0, 16);
    share(t, {.key = "scheduler.retry_budget",
              .sentence = "Second attempts may be this part of the requests of the last minute, so that retries "
                          "do not become a storm of their own."},
          s.retry_budget);
    t.number({.key = "scheduler.retry_budget_min", .sentence = "Second attempts in a minute that are always allowed."},
             s.retry_budget_min, 0, 10'000);
    share(t, {.key = "scheduler.wait_margin",
              .sentence = "A request waits for a better node when it is predicted to end sooner there by this part "
                          "of the time that it would take on a free one."},
          s.wait_margin);
    share(t, {.key = "scheduler.load_margin",
              .sentence = "A model is loaded on one more node when that is predicted to be better by this part."},
          s.load_margin);
    t.parsed_list(
         {.key = "scheduler.num_ctx_buckets",
          .sentence = "A `num_ctx` that a request asks for is rounded up to one of these, so that clients which send "
                      "a new value each time do not make a node load its model again each time. This one number is "
                      "then changed in the request. Empty: never."},
         s.num_ctx_buckets, "numbers of tokens", parse_context,
         [](int tokens) { return std::to_string(tokens); })
        .kind = config::Kind::number;
}

void proxy_rows(Table& t, HerdOptions& o)
{
    t.group("Relaying");
    auto& p = o.proxy;
    t.bytes({.key = "proxy.max_body",
             .sentence = "Largest request body; larger ones are answered 413. Model blobs have no limit."},
            p.max_body, base::kib);
    t.bytes({.key = "proxy.replay_body",
             .sentence = "Bodies up to this size are kept, so that another node can be tried; larger ones "
                         "are sent once."},
            p.replay_body);
    t.bytes({.key = "proxy.replay_total", .sentence = "Memory for all kept bodies together."},
            p.replay_total);
    t.duration({.key = "proxy.connect_timeout", .sentence = "Patience when connecting to a node; a configured one, which may be far away, has 2 s at least.",
                .restart = true},
               p.connect_timeout, std::chrono::milliseconds{1});
    t.duration({.key = "proxy.first_byte_timeout",
                .sentence = "Patience for a node's first byte. A node may load a model for minutes before "
                            "it: never shorter than the slowest load and prefill. 0: no limit."},
               p.first_byte_timeout);
    t.duration({.key = "proxy.idle_timeout", .sentence = "Patience between bytes of an answer. 0: no limit."},
               p.idle_timeout);
    t.duration({.key = "proxy.total_timeout",
                .sentence = "From the request to the end of its answer, waiting included. 0: no limit."},
               p.total_timeout);
    t.duration({.key = "proxy.early_head",
                .sentence = "Server-sent events only: when no node has answered for this long, the head of the answer "
                            "and then a comment every 10 s tell the client that it waits, and for what. 0: never."},
               p.early_head);
    t.duration({.key = "proxy.client_header_timeout",
                .sentence = "Time a client has to send the head of a request.", .restart = true},
               p.client_header_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.client_body_timeout", .sentence = "Longest pause inside a request body.", .restart = true},
               p.client_body_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.client_write_timeout",
                .sentence = "How long a client may take no byte of its answer before it is cut off.", .restart = true},
               p.client_write_timeout, std::chrono::seconds{1});
    t.duration({.key = "proxy.keep_alive_timeout", .sentence = "How long an idle client connection is kept.", .restart = true},
               p.keep_alive_timeout, std::chrono::seconds{1});
    t.number(
        {.key = "proxy.max_connections", .sentence = "Client connections, all together.", .restart = true},
        p.max_connections, 1, 1'000'000);
    t.number({.key = "proxy.max_in_flight", .sentence = "Requests being served or waiting, all together."},
             p.max_in_flight, 1, 1'000'000);
    t.duration({.key = "proxy.shutdown_grace",
                .flags = "--shutdown-grace",
                .value_name = "TIME",
                .sentence = "How long running answers may take to finish after SIGTERM."},
               p.shutdown_grace);
    t.list(
        {.key = "cors.origins",
         .sentence = "Web origins allowed besides Ollama's own defaults, in the syntax of OLLAMA_ORIGINS."},
        o.cors_origins);
    t.list(
        {.key = "cors.hosts",
         .sentence = "Host names accepted when herd listens on loopback only, besides this machine's own; `*` for all."},
        o.cors_hosts);
    t.parsed_list({.key = "affinity.headers",
                   .sentence = "Request fields that hold the key of a conversation, the first one present counts; `X-Herd-Session` "
                               "always does and goes first."},
                  o.session_headers, "names of request fields that hold no secret", parse_session_header,
                  [](const std::string& name) { return name; });
    t.choice({.key = "compat.fleet_headers",
              .sentence = "Answers carry Ollama Herd's fields (`X-Fleet-Node` and so on) as that version wrote them."},
             o.compat.fleet,
             std::vector<std::pair<std::string, proxy::FleetHeaders>>{
                 {"off", proxy::FleetHeaders::off}, {"0.6", proxy::FleetHeaders::v06}, {"0.8", proxy::FleetHeaders::v08}});
    t.boolean({.key = "compat.ollamaflow_headers",
               .sentence = "Answers carry OllamaFlow's fields: `X-OllamaFlow-Request`, `-Backend`, `-Sticky`."},
              o.compat.ollamaflow);
    t.boolean({.key = "compat.ollamaflow_admin",
               .sentence = "OllamaFlow's admin API is answered: `/v1.0/frontends` and `/v1.0/backends`."},
              o.ollamaflow_admin);
    t.group("Limits");
    t.number({.key = "limits.nodes", .sentence = "Nodes that herd will know at a time.", .restart = true},
             o.limits.nodes, 1, 65536);
    t.bytes({.key = "limits.request_head",
             .sentence = "Largest request head (line and headers).",
             .restart = true},
            o.limits.request_head, base::kib, base::mib);
    t.number({.key = "limits.idle_connections_per_node",
              .sentence = "Idle connections kept to one node, per thread.",
              .restart = true},
             o.limits.idle_connections_per_node, 0, 65536);
    t.number({.key = "limits.client_in_flight",
              .sentence = "Requests that one client (a key, else an address) may have running or waiting at once; more are answered 429. 0: no limit."},
             o.limits.client_in_flight, 0, 65534);
    t.number(
        {.key = "limits.event_viewers", .sentence = "Viewers of the live event stream.", .restart = true},
        o.limits.event_viewers, 1, 65536);
}

void alias_rows(Table& t, HerdOptions& o)
{
    t.group("Aliases");
    config::Option& list = t.parsed_list(
        {.key = "aliases",
         .sentence = "A table: `\"claude-sonnet-4-5\" = \"qwen3-coder:30b\"`. Who asks for the first name gets the second, on every "
                     "path; `\"gpt-*\"` is every such name without a tag. docs/ALIASES_AND_PINS.md.",
         .pairs = true},
        o.aliases.list, "name=model", parse_alias, [](const proxy::Alias& alias) { return alias.name + "=" + alias.model; });
    list.assign = [each = std::move(list.assign), &o](std::span<const std::string> texts) -> base::Result<void> {
        if (auto done = each(texts); !done) {
            return done;
        }
        auto fault = proxy::alias_fault(o.aliases.list); // what only all of them together can tell
        return fault.empty() ? base::Result<void>{} : base::fail(base::Errc::bad_config, std::move(fault));
    };
    t.boolean({.key = "aliases.claude_auto",
               .sentence = "A `claude-…` name on Anthropic's paths that is neither an alias nor a model of the fleet is the best "
                           "model there is that can use tools: one in memory before one on disk, then the largest."},
              o.aliases.claude_auto);
}

} // namespace herd::app
