#include "herd/import/ollama_herd_files.hpp"

#include "base/text.hpp"
#include "herd/import/toml_text.hpp"

#include <array>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::import {

namespace {

using Settings = std::map<std::string, std::string>; ///< without FLEET_

/// As its own reader has it: comments, "export", quotes around a value.
Settings read_env(std::string_view text)
{
    constexpr std::string_view prefix = "FLEET_";
    Settings out;
    for (std::string_view line : base::split_list(text, '\n')) {
        line = base::trim(line);
        if (line.starts_with("export ")) {
            line = base::trim(line.substr(7));
        }
        const auto equals = line.find('=');
        if (line.starts_with('#') || equals == line.npos || !line.starts_with(prefix)) {
            continue;
        }
        std::string_view value = base::trim(line.substr(equals + 1));
        if (value.size() >= 2 && value.front() == value.back() && (value.front() == '"' || value.front() == '\'')) {
            value = value.substr(1, value.size() - 2);
        }
        out[std::string{base::trim(line.substr(prefix.size(), equals - prefix.size()))}] = value;
    }
    return out;
}

/// Takes settings out as they are used; what is left was not.
class Taker {
public:
    explicit Taker(Settings settings) : settings_(std::move(settings)) {}
    std::optional<std::string> text(const std::string& name)
    {
        const auto found = settings_.extract(name);
        return found.empty() ? std::nullopt : std::optional{found.mapped()};
    }
    std::optional<std::uint64_t> number(const std::string& name)
    {
        const auto found = settings_.find(name);
        const auto value = found == settings_.end() ? std::nullopt : base::parse_unsigned(found->second);
        if (value) {
            settings_.erase(found);
        }
        return value;
    }
    bool boolean(const std::string& name, bool otherwise)
    {
        const auto value = text(name);
        return !value ? otherwise : base::iequals(*value, "true") || *value == "1" || base::iequals(*value, "yes") || base::iequals(*value, "on");
    }
    Json object(const std::string& name)
    {
        const auto found = settings_.find(name);
        auto value = found == settings_.end() ? Json() : Json::parse(found->second, nullptr, false);
        if (!value.is_object()) {
            return Json::object();
        }
        settings_.erase(found);
        return value;
    }
    [[nodiscard]] const Settings& left() const { return settings_; }

private:
    Settings settings_;
};

std::string listening(Taker& taker)
{
    const auto host = taker.text("HOST");
    const auto port = taker.number("PORT");
    if (!host && !port) {
        return {};
    }
    return toml_line("listen", Json::array({fmt::format("{}:{}", host.value_or("0.0.0.0"), port.value_or(11435))}));
}

std::string sections(Taker& taker)
{
    std::string out;
    if (const auto retries = taker.number("MAX_RETRIES")) {
        out += "\n[scheduler]\n" + toml_line("retries", *retries);
    }
    if (const auto most = taker.number("CLIENT_MAX_IN_FLIGHT"); most && *most > 0) {
        out += "\n[limits]\n" + toml_line("client_in_flight", *most);
    }
    if (const auto origins = taker.text("CORS_ORIGINS"); origins && !origins->empty()) {
        out += "\n[cors]\n" + toml_line("origins", Json(base::split_list(*origins)));
    }
    const Json names = taker.object("ANTHROPIC_MODEL_MAP");
    const bool best = taker.boolean("ANTHROPIC_AUTO_ROUTE", true);
    if (!names.empty() || best) {
        out += "\n[aliases]\n";
        for (const auto& [name, model] : names.items()) {
            if (model.is_string()) {
                out += toml_line(name == "default" ? "claude-*" : name, model);
            }
        }
        out += best ? toml_line("claude_auto", true) : "";
    }
    return out;
}

std::string models(Taker& taker)
{
    const auto protection = taker.text("CONTEXT_PROTECTION").value_or("strip");
    const bool dynamic = taker.boolean("DYNAMIC_NUM_CTX", false);
    const Json contexts = taker.object("NUM_CTX_OVERRIDES");
    const bool pulls = taker.boolean("AUTO_PULL", true);
    std::string out = "\n[models]\n";
    out += base::iequals(protection, "strip") ? toml_line("num_ctx", "protect") : remark("num_ctx goes through as it is, as it did");
    if (pulls) {
        out += remark("It pulled whatever model somebody asked for. Here that is off, and then for names that are allowed: auto_pull, auto_pull_allow");
    }
    for (const auto& [model, tokens] : contexts.items()) {
        if (tokens.is_number_unsigned() && dynamic) {
            out += fmt::format("\n[models.{}]\n", toml_value(model)) + toml_line("num_ctx", tokens);
        }
    }
    return out + (dynamic || contexts.empty() ? "" : remark("NUM_CTX_OVERRIDES was not in force (DYNAMIC_NUM_CTX is off)"));
}

std::string pins(Taker& taker, std::string_view file)
{
    std::string out;
    for (const auto model : base::split_list(taker.text("PINNED_MODELS").value_or(""))) {
        out += "\n[[pins]]\n" + toml_line("model", std::string{base::trim(model)});
    }
    const auto json = Json::parse(file, nullptr, false);
    const Json nodes = json.is_object() ? json.value("nodes", Json::object()) : Json::object();
    for (const auto& [node, list] : nodes.items()) {
        for (const Json& model : list.is_array() ? list : Json::array()) {
            if (model.is_string()) {
                out += "\n[[pins]]\n" + toml_line("model", model) + toml_line("node", node);
            }
        }
    }
    return out;
}

/// For herd-node.toml of this machine.
std::string of_node(Taker& taker)
{
    constexpr std::array<std::pair<const char*, const char*>, 3> names{{{"NODE_NODE_ID", "name"}, {"NODE_OLLAMA_HOST", "ollama"}, {"NODE_ROUTER_URL", "herd"}}};
    std::string out;
    for (const auto& [theirs, ours] : names) {
        if (const auto value = taker.text(theirs); value && !value->empty()) {
            out += remark(std::string{ours} == "herd" ? base::trim(toml_line(ours, Json::array({*value}))) : base::trim(toml_line(ours, *value)));
        }
    }
    return out.empty() ? out : "\n" + remark("For this machine's herd-node.toml:") + out;
}

std::string not_taken(const Settings& left)
{
    std::string out;
    for (const auto& [name, value] : left) {
        const bool secret = name.find("KEY") != name.npos || name.find("TOKEN") != name.npos || name.find("SECRET") != name.npos;
        out += remark(fmt::format("FLEET_{}{}", name, secret ? " (a secret: herd key add NAME makes keys)" : "=" + value));
    }
    return out.empty() ? out : "\n" + remark("Not taken, herd has nothing like it or needs no such setting (docs/PARITY.md):") + out;
}

} // namespace

std::string toml_of_ollama_herd(std::string_view env, std::string_view pin_file)
{
    Taker taker(read_env(env));
    std::string out = remark("Made by `herd import ollama-herd`. Look it over, then: herd --config THIS --check-config");
    out += listening(taker);
    out += "\n[compat]\n" + remark("its fields in answers, for programs that read them") + toml_line("fleet_headers", "0.8");
    out += sections(taker);
    out += models(taker);
    out += pins(taker, pin_file);
    out += of_node(taker);
    return out + not_taken(taker.left());
}

} // namespace herd::app::import
