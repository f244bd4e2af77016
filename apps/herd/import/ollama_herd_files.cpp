#include "herd/import/ollama_herd_files.hpp"

#include "base/text.hpp"
#include "config/backend_url.hpp"
#include "config/values.hpp"
#include "herd/import/draft.hpp"
#include "herd/import/ollama_herd_env.hpp"
#include "herd/policy/policy_json.hpp"

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::uint64_t usual_port = 11435;
constexpr std::size_t told_bytes_max = 200;

std::string listen_line(Env& env)
{
    const auto host = env.text("HOST");
    const auto port = env.number("PORT");
    return !host && !port ? std::string{} : listening(host.value_or("0.0.0.0"), port.value_or(usual_port), usual_port, "FLEET_HOST, FLEET_PORT");
}

/// `name` as a number under `key` of `section`.
std::string number_line(Env& env, const std::string& name, const std::string& section, std::string_view key, std::uint64_t most)
{
    const auto value = env.number(name);
    if (!value) {
        return {};
    }
    std::string told;
    Draft draft("[" + section + "]", "");
    draft.line(key, within(*value, 0, most, told), "FLEET_" + name);
    if (!told.empty()) {
        draft.note(fmt::format("FLEET_{} {}: {}", name, *value, told));
    }
    return draft.text().toml;
}

std::string aliases(Env& env)
{
    const Json names = env.object("ANTHROPIC_MODEL_MAP");
    const bool best = env.boolean("ANTHROPIC_AUTO_ROUTE", true);
    Draft draft("[aliases]", "");
    if (best) {
        draft.line("claude_auto", true, "FLEET_ANTHROPIC_AUTO_ROUTE");
    }
    for (const auto& [name, model] : names.items()) {
        if (model.is_string()) {
            draft.line(name == "default" ? "claude-*" : name, model, fmt::format("FLEET_ANTHROPIC_MODEL_MAP {}:", shown(name)));
        } else {
            draft.note(fmt::format("FLEET_ANTHROPIC_MODEL_MAP {}: {} is left out: it is no name of a model", shown(name), shown(model.dump())));
        }
    }
    return draft.text().toml;
}

std::string sections(Env& env)
{
    std::string out = number_line(env, "MAX_RETRIES", "scheduler", "retries", 16);
    out += number_line(env, "CLIENT_MAX_IN_FLIGHT", "limits", "client_in_flight", 65534);
    if (const auto origins = env.text("CORS_ORIGINS"); origins && !origins->empty()) {
        Draft draft("[cors]", "");
        draft.line("origins", Json(base::split_list(*origins)), "FLEET_CORS_ORIGINS");
        out += draft.text().toml;
    }
    return out + aliases(env);
}

void add_contexts(Env& env, Draft& draft)
{
    const bool dynamic = env.boolean("DYNAMIC_NUM_CTX", false);
    const Json contexts = env.object("NUM_CTX_OVERRIDES");
    if (!dynamic && !contexts.empty()) {
        draft.note("NUM_CTX_OVERRIDES was not in force (DYNAMIC_NUM_CTX is off)");
        return;
    }
    for (const auto& [model, tokens] : contexts.items()) {
        const std::string field = fmt::format("FLEET_NUM_CTX_OVERRIDES {}:", shown(model));
        if (tokens.is_number_integer()) {
            draft.lines(fmt::format("\n[models.{}]\n", toml_value(model)) + toml_line("num_ctx", tokens), field, tokens.dump());
        } else {
            draft.note(fmt::format("{} {} is left out: it is no number of tokens", field, shown(tokens.dump())));
        }
    }
}

std::string models(Env& env)
{
    const auto protection = env.text("CONTEXT_PROTECTION").value_or("strip");
    Draft draft("[models]", "");
    if (base::iequals(protection, "strip")) {
        draft.line("num_ctx", "protect", "FLEET_CONTEXT_PROTECTION");
    } else if (base::iequals(protection, "warn") || base::iequals(protection, "passthrough")) {
        draft.note("num_ctx goes through as it is, as it did");
    } else {
        draft.note(fmt::format("FLEET_CONTEXT_PROTECTION {}: left out, num_ctx goes through as it is", shown(protection)));
    }
    if (const auto patience = env.number("AUTO_PULL_TIMEOUT")) {
        draft.line("auto_pull_timeout", fmt::format("{}s", *patience), "FLEET_AUTO_PULL_TIMEOUT");
    }
    if (env.boolean("AUTO_PULL", true)) {
        draft.note("It pulled whatever model somebody asked for. Here that is off, and then for names that are allowed: auto_pull, auto_pull_allow");
    }
    const bool preloads = !env.boolean("DISABLE_MODEL_PRELOADER", false) && env.number("MODEL_PRELOAD_MAX_COUNT").value_or(3) > 0;
    if (preloads) {
        draft.line("preload_popular", true, "FLEET_DISABLE_MODEL_PRELOADER");
    } else {
        draft.note("It loaded no model before somebody asked for it; herd does so for what is pinned, below [[pins]]");
    }
    add_contexts(env, draft);
    return draft.text().toml;
}

std::string pin(const std::string& model, const std::string& node, std::string_view from)
{
    Draft draft("[[pins]]", "");
    draft.line("model", model, from);
    if (!node.empty()) {
        draft.line("node", node, from);
    }
    return draft.text().toml;
}

std::string pins(Env& env, std::string_view file)
{
    constexpr std::string_view place = "pinned_models.json";
    std::string out;
    for (const auto model : base::split_list(env.text("PINNED_MODELS").value_or(""))) {
        out += pin(std::string{model}, "", "FLEET_PINNED_MODELS");
    }
    const auto json = nested_too_deeply(file) ? Json(Json::value_t::discarded) : Json::parse(file, nullptr, false);
    const Json nodes = json.is_object() ? json.value("nodes", Json::object()) : Json();
    if (!nodes.is_object()) {
        return out + (base::trim(file).empty() ? "" : "\n" + remark(fmt::format("{}: left out, it is no JSON object of nodes and their models", place)));
    }
    for (const auto& [node, list] : nodes.items()) {
        if (node.empty() || !list.is_array()) {
            out += "\n" + remark(fmt::format("{} {}: left out, herd expects the name of a node and a list of models", place, shown(node)));
            continue;
        }
        for (const Json& model : list) {
            out += model.is_string() ? pin(model.get<std::string>(), node, fmt::format("{} {}:", place, shown(node)))
                                     : "\n" + remark(fmt::format("{} {}: {} is left out: it is no name of a model", place, shown(node), shown(model.dump())));
        }
    }
    return out;
}

/// For herd-node.toml of this machine, in the forms that herd-node reads.
std::string of_node(Env& env)
{
    std::string out;
    const auto line = [&](const std::string& name, auto&& write) {
        const auto value = env.text(name);
        if (value && !value->empty()) {
            const std::string text = write(*value);
            text.empty() ? env.tell(name, *value, "left out, herd-node cannot take it") : void(out += remark(base::trim(text)));
        }
    };
    line("NODE_NODE_ID", [](const std::string& value) { return config::parse_name(value) ? toml_line("name", value) : std::string{}; });
    line("NODE_OLLAMA_HOST", [](const std::string& value) { return config::parse_backend_url(value) ? toml_line("ollama", value) : std::string{}; });
    line("NODE_ROUTER_URL", [](const std::string& value) {
        const auto url = config::parse_backend_url(value, usual_port); // herd-node wants HOST:PORT
        return url ? toml_line("herd", Json::array({url->authority()})) : std::string{};
    });
    return out.empty() ? out : "\n" + remark("For this machine's herd-node.toml:") + out;
}

/// What has another meaning here than its name says.
void look_at_rest(Env& env)
{
    if (const auto folder = env.text("DATA_DIR"); folder && !folder->empty()) {
        env.tell("DATA_DIR", *folder, "left out, herd keeps its own files in a place of its own: state_dir");
    }
    if (env.boolean("ANTHROPIC_REQUIRE_KEY", false)) {
        env.tell("ANTHROPIC_REQUIRE_KEY", "true", "left out, nobody is asked for a key until you write require_key = true below [access], which asks everybody (`herd key add NAME` makes keys)");
    }
}

std::string not_taken(const Env& env)
{
    std::string out;
    for (const auto& [name, value] : env.left()) {
        out += remark(fmt::format("FLEET_{}{}", name, is_secret(name, value) ? " (a secret: herd key add NAME makes keys)" : "=" + (value.size() > told_bytes_max ? shown(value) : value)));
    }
    return out.empty() ? out : "\n" + remark("Not taken, herd has nothing like it or needs no such setting (docs/PARITY.md):") + out;
}

} // namespace

std::string toml_of_ollama_herd(std::string_view env_text, std::string_view pin_file)
{
    Env env(env_text);
    std::string out = remark("Made by `herd import ollama-herd`. Look it over, then: herd --config THIS --check-config");
    out += listen_line(env);
    out += "\n[compat]\n" + remark("its fields in answers, for programs that read them") + toml_line("fleet_headers", "0.8");
    out += sections(env);
    out += models(env);
    out += pins(env, pin_file);
    out += of_node(env);
    look_at_rest(env);
    if (!env.odd().empty()) {
        out += "\n" + remark("Not taken as it was said:") + env.odd();
    }
    const std::string rest = not_taken(env);
    return out + (out.size() + rest.size() <= toml_bytes_max ? rest : "");
}

} // namespace herd::app::import
