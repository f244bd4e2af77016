#include "herd/keys/new_key.hpp"

#include "base/text.hpp"
#include "base/units.hpp"
#include "herd/admin/views.hpp"
#include "herd/cli/print.hpp"
#include "net/crypto.hpp"
#include "proxy/profile.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::keys {

namespace {

using Json = nlohmann::ordered_json;
using store::KeyRecord;

constexpr std::string_view prefix = "herd_";
constexpr std::size_t hint_digits = 4; // of 40 at either end: 128 bits stay unknown
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t list_max = 256;
constexpr std::size_t text_bytes_max = 350;

std::unexpected<base::Error> wrong(std::string_view field, std::string_view what)
{
    return base::fail(base::Errc::bad_config, fmt::format("{}: {}", field, what));
}

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool fit_for_name(std::string_view text)
{
    return !text.empty() && text.size() <= name_bytes_max && is_alnum(text.front()) && !base::lower(text).starts_with("key-")
        && std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '@' || c == '+'; });
}

base::Result<void> take_list(const Json& body, const char* field, std::vector<std::string>& into)
{
    const auto found = body.find(field);
    if (found == body.end() || found->is_null()) {
        return {};
    }
    if (!found->is_array() || found->size() > list_max) {
        return wrong(field, fmt::format("must be an array of at most {} strings", list_max));
    }
    for (const Json& each : *found) {
        const std::string text = each.is_string() ? std::string{base::trim(each.get_ref<const std::string&>())} : std::string{};
        const bool fit = !text.empty() && text.size() <= text_bytes_max
            && std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7F; });
        if (!fit) {
            return wrong(field, "must be an array of names");
        }
        if (std::ranges::find(into, text) == into.end()) {
            into.push_back(text);
        }
    }
    return {};
}

base::Result<std::uint64_t> take_number(const Json& body, const char* field, std::uint64_t most)
{
    const auto found = body.find(field);
    if (found == body.end() || found->is_null()) {
        return 0;
    }
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > most) {
        return wrong(field, fmt::format("must be a whole number from 0 (no limit) to {}", most));
    }
    return found->get<std::uint64_t>();
}

base::Result<std::string> take_word(const Json& body, const char* field, std::initializer_list<std::string_view> allowed)
{
    const auto found = body.find(field);
    if (found == body.end() || found->is_null()) {
        return std::string{};
    }
    if (found->is_string() && std::ranges::find(allowed, found->get_ref<const std::string&>()) != allowed.end()) {
        return found->get<std::string>();
    }
    return wrong(field, fmt::format("must be one of {}", fmt::join(allowed, ", ")));
}

base::Result<std::optional<base::WallTime>> take_expiry(const Json& body, base::WallTime now)
{
    const auto found = body.find("expires");
    if (found == body.end() || found->is_null()) {
        return std::nullopt;
    }
    constexpr std::string_view what = "must be a date (2027-01-31), a time (2027-01-31T12:00:00Z) or a span from now (90d)";
    if (!found->is_string()) {
        return wrong("expires", what);
    }
    const auto at = parse_expiry(found->get_ref<const std::string&>(), now);
    if (!at) {
        return wrong("expires", what);
    }
    if (*at <= now) {
        return wrong("expires", "must be in the future");
    }
    return *at;
}

base::Result<void> check_fields(const Json& body)
{
    static const std::vector<std::string> known{"name", "scope", "models", "frontends", "rpm", "tokens_per_day", "max_parallel", "priority", "expires"};
    for (const auto& [field, value] : body.items()) {
        if (std::ranges::find(known, field) == known.end()) {
            const std::string near = base::nearest(field, known);
            return base::fail(base::Errc::bad_config, "unknown field \"" + field + '"' + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
        }
    }
    return {};
}

base::Result<void> take_limits(const Json& body, KeyRecord& record)
{
    const auto rpm = take_number(body, "rpm", 1'000'000);
    const auto tokens = take_number(body, "tokens_per_day", 1'000'000'000'000);
    const auto parallel = take_number(body, "max_parallel", 65'536);
    for (const auto* each : {&rpm, &tokens, &parallel}) {
        if (!*each) {
            return std::unexpected(each->error());
        }
    }
    record.rpm = static_cast<std::uint32_t>(*rpm);
    record.tokens_per_day = *tokens;
    record.max_parallel = static_cast<std::uint32_t>(*parallel);
    return {};
}

std::string_view state_of(const KeyRecord& record, base::WallTime now)
{
    return record.revoked ? "revoked" : record.expires && *record.expires <= now ? "expired" : "active";
}

Json time_json(const std::optional<base::WallTime>& at) { return at ? Json(admin::timestamp(*at)) : Json(nullptr); }

Json number_json(std::uint64_t limit) { return limit != 0 ? Json(limit) : Json(nullptr); }

Json document(const KeyRecord& record, const proxy::KeyUse& use, base::WallTime now)
{
    const std::int64_t used = use.last_used.load(std::memory_order_relaxed);
    Json json;
    json["id"] = record.id;
    json["name"] = record.name;
    json["key"] = record.hint;
    json["scope"] = record.admin ? "admin" : "user";
    json["state"] = state_of(record, now);
    json["models"] = record.models;
    json["frontends"] = record.frontends;
    json["rpm"] = number_json(record.rpm);
    json["tokens_per_day"] = number_json(record.tokens_per_day);
    json["max_parallel"] = number_json(record.max_parallel);
    json["priority"] = record.priority.empty() ? Json(nullptr) : Json(record.priority);
    json["created"] = admin::timestamp(record.created);
    json["expires"] = time_json(record.expires);
    json["revoked"] = time_json(record.revoked);
    json["last_used"] = used != 0 ? Json(admin::timestamp(base::WallTime{std::chrono::microseconds{used}})) : Json(nullptr);
    json["tokens_today"] = use.tokens.today(now);
    json["in_flight"] = use.in_flight.load(std::memory_order_relaxed);
    return json;
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

} // namespace

base::Result<KeyRecord> parse_new_key(std::string_view text, base::WallTime now)
{
    const Json body = Json::parse(text, nullptr, false);
    if (!body.is_object()) {
        return base::fail(base::Errc::bad_config, "the body must be a JSON object such as {\"name\":\"alice\"}");
    }
    if (auto known = check_fields(body); !known) {
        return std::unexpected(known.error());
    }
    KeyRecord record;
    const auto name = body.find("name");
    if (name == body.end() || !name->is_string() || !fit_for_name(name->get_ref<const std::string&>())) {
        return wrong("name", fmt::format("1 to {} letters, digits and .-_@+ are needed, the first a letter or digit, not beginning with key-", name_bytes_max));
    }
    record.name = name->get<std::string>();
    record.created = now;
    const auto scope = take_word(body, "scope", {"user", "admin"});
    auto priority = take_word(body, "priority", {"interactive", "normal", "batch"});
    auto expires = take_expiry(body, now);
    if (!scope || !priority || !expires) {
        return std::unexpected(!scope ? scope.error() : !priority ? priority.error() : expires.error());
    }
    record.admin = *scope == "admin";
    record.priority = std::move(*priority);
    record.expires = *expires;
    for (const auto& [field, list] : {std::pair{"models", &record.models}, std::pair{"frontends", &record.frontends}}) {
        if (auto taken = take_list(body, field, *list); !taken) {
            return std::unexpected(taken.error());
        }
        if (record.admin && !list->empty()) {
            return wrong(field, "an admin key may use everything: leave this out, or make a user key");
        }
    }
    for (const std::string& model : record.models) {
        if (!proxy::read_model(model, {})) {
            return wrong("models", "\"" + model + "\" is no model name");
        }
    }
    if (auto limits = take_limits(body, record); !limits) {
        return std::unexpected(limits.error());
    }
    return record;
}

std::string alias_fault(std::string_view text, const proxy::Aliases* aliases, const fleet::Snapshot& snapshot)
{
    const Json body = Json::parse(text, nullptr, false);
    std::vector<std::string> models;
    if (aliases == nullptr || !body.is_object() || !take_list(body, "models", models)) {
        return {}; // what is wrong with it is told elsewhere
    }
    const auto key_of = [](const std::string& name) {
        const auto read = proxy::read_model(name, {});
        return read ? read->key : std::string{};
    };
    for (const std::string& name : models) {
        const std::string key = key_of(name);
        const auto model = aliases->stands_for({.text = name, .key = key}, snapshot);
        const bool named_too = model && std::ranges::any_of(models, [&](const std::string& other) { return key_of(other) == key_of(*model); });
        if (model && !named_too) {
            return fmt::format("models: \"{}\" is an alias of \"{}\", and a key is for the model that runs: name that one", name, *model);
        }
    }
    return {};
}

std::string make_secret()
{
    std::array<std::uint8_t, 20> bytes{};
    net::random_bytes(bytes);
    return std::string{prefix} + base::to_hex(bytes);
}

void seal(KeyRecord& record, std::string_view secret)
{
    std::array<std::uint8_t, 6> bytes{};
    net::random_bytes(bytes);
    record.id = "key-" + base::to_hex(bytes);
    record.hash = base::to_hex(net::sha256(secret));
    record.hint = std::string{secret.substr(0, prefix.size() + hint_digits)} + "…" + std::string{secret.substr(secret.size() - hint_digits)};
}

proxy::KeyPtr to_key(const KeyRecord& record, std::shared_ptr<proxy::KeyUse> use)
{
    auto key = std::make_shared<proxy::Key>();
    key->id = record.id;
    key->name = record.name;
    if (!base::from_hex(record.hash, key->hash)) {
        key->hash = {};
        key->revoked = true; // no secret fits it
    }
    key->admin = record.admin;
    for (const std::string& model : record.models) {
        auto read = proxy::read_model(model, {});
        key->models.push_back(read ? std::move(read->key) : base::lower(model)); // never fewer: none would be all
    }
    key->frontends = record.frontends;
    key->rpm = record.rpm;
    key->tokens_per_day = record.tokens_per_day;
    key->max_parallel = record.max_parallel;
    if (record.priority == "interactive") {
        key->priority = fleet::Priority::interactive;
    } else if (record.priority == "normal") {
        key->priority = fleet::Priority::normal;
    } else if (!record.priority.empty()) {
        key->priority = fleet::Priority::batch;
    }
    key->expires = record.expires;
    key->revoked = key->revoked || record.revoked.has_value();
    key->fair = "key " + record.name;
    key->use = std::move(use);
    return key;
}

std::string key_json(const KeyRecord& record, const proxy::KeyUse& use, base::WallTime now) { return text_of(document(record, use, now)); }

std::string made_json(const KeyRecord& record, const proxy::KeyUse& use, base::WallTime now, std::string_view secret)
{
    Json json = document(record, use, now);
    json["secret"] = secret;
    return text_of(json);
}

} // namespace herd::app::keys
