#include "herd/import/ollama_herd_env.hpp"

#include "base/text.hpp"
#include "herd/import/draft.hpp"
#include "herd/policy/policy_json.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::string_view prefix = "FLEET_";

std::string upper(std::string_view text)
{
    std::string out{text};
    std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return out;
}

bool among(std::initializer_list<std::string_view> words, std::string_view word)
{
    return std::ranges::any_of(words, [word](std::string_view each) { return base::iequals(each, word); });
}

} // namespace

bool is_secret(std::string_view name, std::string_view value)
{
    const auto at = value.find("://");
    if (at != value.npos && value.substr(at).contains('@')) {
        return true; // http://user:password@host
    }
    return std::ranges::any_of(base::split_list(name, '_'), [value](std::string_view word) {
        const bool many = base::iequals(word, "TOKENS") && !base::parse_unsigned(value); // a number of them is none
        return many || among({"KEY", "KEYS", "APIKEY", "TOKEN", "SECRET", "SECRETS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "BEARER"}, word);
    });
}

Env::Env(std::string_view text)
{
    for (std::string_view line : base::split_list(text, '\n')) {
        line = base::trim(line);
        if (line.starts_with("export ")) {
            line = base::trim(line.substr(7));
        }
        const auto equals = line.find('=');
        if (line.starts_with('#') || equals == line.npos || !base::iequals(line.substr(0, prefix.size()), prefix)) {
            continue;
        }
        std::string_view value = base::trim(line.substr(equals + 1));
        if (value.size() >= 2 && value.front() == value.back() && (value.front() == '"' || value.front() == '\'')) {
            value = value.substr(1, value.size() - 2);
        }
        const auto name = equals > prefix.size() ? base::trim(line.substr(prefix.size(), equals - prefix.size())) : std::string_view{};
        settings_[upper(name)] = value;
    }
}

void Env::tell(const std::string& name, std::string_view value, std::string_view what)
{
    odd_ += remark(fmt::format("FLEET_{}{}: {}", name, is_secret(name, value) ? "" : " " + shown(value), what));
}

std::optional<std::string> Env::text(const std::string& name)
{
    const auto found = settings_.extract(name);
    return found.empty() ? std::nullopt : std::optional{found.mapped()};
}

std::optional<std::uint64_t> Env::number(const std::string& name)
{
    const auto said = text(name);
    const auto value = said ? base::parse_unsigned(*said) : std::nullopt;
    if (said && !value && !said->empty()) {
        tell(name, *said, "left out, it is no such number");
    }
    return value;
}

bool Env::boolean(const std::string& name, bool otherwise)
{
    const auto said = text(name);
    if (!said) {
        return otherwise;
    }
    const bool yes = among({"true", "1", "yes", "on", "t", "y"}, *said);
    if (!yes && !among({"false", "0", "no", "off", "f", "n"}, *said)) {
        tell(name, *said, fmt::format("neither true nor false, so it counts as {}", otherwise));
        return otherwise;
    }
    return yes;
}

Json Env::object(const std::string& name)
{
    const auto said = text(name);
    if (!said || said->empty()) {
        return Json::object();
    }
    auto value = nested_too_deeply(*said) ? Json(Json::value_t::discarded) : Json::parse(*said, nullptr, false);
    if (!value.is_object()) {
        tell(name, *said, "left out, it is no JSON object");
        return Json::object();
    }
    return value;
}

} // namespace herd::app::import
