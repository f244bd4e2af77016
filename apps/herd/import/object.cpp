#include "herd/import/object.hpp"

#include "base/text.hpp"
#include "herd/policy/policy_json.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

enum class As : std::uint8_t { text, yes, number, object, list, nothing }; // nothing: herd has nothing like it

struct Column {
    std::string_view name;
    std::string_view field;
    As as{As::text};
    /// What a row says when nobody touched it, or what herd does anyway: nobody would miss it.
    std::optional<std::string_view> harmless{};
};

constexpr std::array<Column, 37> columns{{
    {"identifier", "Identifier"},
    {"name", "Name"},
    {"hostname", "Hostname"},
    {"timeoutms", "TimeoutMs", As::number},
    {"loadbalancing", "LoadBalancing"},
    {"blockhttp10", "BlockHttp10", As::nothing, "1"},
    {"maxrequestbodysize", "MaxRequestBodySize", As::number},
    {"backends", "Backends", As::list},
    {"requiredmodels", "RequiredModels", As::list},
    {"logrequestfull", "LogRequestFull", As::nothing, "0"},
    {"logrequestbody", "LogRequestBody", As::nothing, "0"},
    {"logresponsebody", "LogResponseBody", As::nothing, "0"},
    {"usestickysessions", "UseStickySessions", As::yes},
    {"stickysessionexpirationms", "StickySessionExpirationMs", As::number},
    {"pinnedembeddingsprops", "PinnedEmbeddingsProperties", As::object},
    {"pinnedcompletionsprops", "PinnedCompletionsProperties", As::object},
    {"pinnedembeddingsproperties", "PinnedEmbeddingsProperties", As::object},
    {"pinnedcompletionsproperties", "PinnedCompletionsProperties", As::object},
    {"allowretries", "AllowRetries", As::yes},
    {"allowembeddings", "AllowEmbeddings", As::yes},
    {"allowcompletions", "AllowCompletions", As::yes},
    {"active", "Active", As::yes},
    {"port", "Port", As::number},
    {"ssl", "Ssl", As::yes},
    {"unhealthythreshold", "UnhealthyThreshold", As::number},
    {"healthythreshold", "HealthyThreshold", As::number},
    {"healthcheckmethod", "HealthCheckMethod", As::text, "GET"},
    {"healthcheckurl", "HealthCheckUrl", As::text, "/"},
    {"maxparallelrequests", "MaxParallelRequests", As::number},
    {"ratelimitthreshold", "RateLimitRequestsThreshold", As::number},
    {"ratelimitrequeststhreshold", "RateLimitRequestsThreshold", As::number},
    {"apiformat", "ApiFormat"},
    {"labels", "Labels", As::list},
    {"bearertoken", "BearerToken", As::text, ""},
    {"querystring", "Querystring", As::text, ""},
    {"headers", "Headers", As::object},
    {"lastupdateutc", "LastUpdateUtc"},
}};

/// The value of a column; null, and why in `told`, when it has none.
Json value_of(As as, std::string_view text, std::string& told)
{
    if (as == As::yes) {
        const auto number = base::parse_unsigned(text);
        if (number || base::iequals(text, "true") || base::iequals(text, "false")) {
            return number ? *number != 0 : base::iequals(text, "true");
        }
        told = "is neither true nor false";
        return {};
    }
    if (as == As::number) {
        if (const auto number = base::parse_unsigned(text)) {
            return std::min<std::uint64_t>(*number, std::numeric_limits<std::int64_t>::max()); // TOML has no greater ones
        }
        told = "is no such number";
        return {};
    }
    const std::string_view bare = base::trim(text);
    if (bare.empty() || bare == "null") {
        return {};
    }
    auto json = nested_too_deeply(bare) ? Json(Json::value_t::discarded) : Json::parse(bare, nullptr, false);
    if (as == As::object ? json.is_object() : json.is_array()) {
        return json;
    }
    told = as == As::object ? "is no JSON object" : "is no JSON list";
    return {};
}

void put(Object& object, const Column& column, const std::string& text)
{
    const std::string field{column.field};
    const bool hidden = is_secret(field);
    const std::string named = hidden ? field : fmt::format("{} {}", field, shown(text));
    if (column.as == As::nothing) {
        object.note(named, "left out, herd has nothing like it");
    } else if (!base::is_utf8(text)) {
        object.note(field, "left out, it is no UTF-8 text");
    } else if (column.as == As::text) {
        object.fields[field] = text;
    } else {
        std::string told;
        if (auto value = value_of(column.as, text, told); !value.is_null()) {
            object.fields[field] = std::move(value);
        } else if (!told.empty()) {
            object.note(named, fmt::format("left out, it {}", told));
        }
    }
}

} // namespace

std::string Object::called() const { return fmt::format("{} {}", kind == admin::ollamaflow::Kind::backend ? "backend" : "frontend", shown(id)); }

void Object::note(std::string_view field, std::string_view what) { notes.push_back(fmt::format("{}: {}", field, what)); }

std::string Object::text(const std::string& field) const
{
    const Json value = get(field);
    return value.is_string() ? value.get<std::string>() : std::string{};
}

void Object::clamp(const std::string& field, std::uint64_t low, std::uint64_t high)
{
    const Json value = get(field);
    std::string told;
    if (value.is_number_unsigned()) {
        fields[field] = within(value.get<std::uint64_t>(), low, high, told);
    }
    if (!told.empty()) {
        note(fmt::format("{} {}", field, value.dump()), told);
    }
}

bool is_secret(std::string_view field) { return field == "BearerToken" || field == "Querystring" || field == "Headers"; }

Object object_of(admin::ollamaflow::Kind kind, const Row& row)
{
    Object object{.kind = kind};
    for (const auto& [name, text] : row) {
        const std::string low = base::lower(name);
        if (low == "createdutc") {
            object.created = text;
            continue;
        }
        const auto* const column = std::ranges::find(columns, low, &Column::name);
        if (column == columns.end()) {
            object.note(fmt::format("{} {}", name, shown(text)), "left out, herd does not know it");
        } else if (low != "lastupdateutc" && !(column->harmless && base::iequals(*column->harmless, text))) {
            put(object, *column, text);
        }
    }
    object.id = object.text("Identifier");
    return object;
}

base::Result<Draft> draft_of(const Object& object, std::string header, std::string_view first)
{
    const auto native = admin::ollamaflow::ours(object.kind, object.fields.dump(-1, ' ', false, Json::error_handler_t::replace), Json::object());
    if (!native) {
        return std::unexpected(native.error());
    }
    Draft draft(std::move(header), object.called());
    const auto add = [&](const std::string& key, const Json& value) {
        const std::string field = admin::ollamaflow::field_of(object.kind, key);
        // What TOML has no form for stands as the JSON that it was.
        const bool as_text = key.starts_with("pinned_") && !fit_for_toml(value);
        draft.line(key, as_text ? Json(value.dump()) : value, field, is_secret(field) ? Tell::nothing : Tell::value);
    };
    if (native->body.contains(first)) {
        add(std::string{first}, native->body[std::string{first}]);
    }
    for (const Json* each : {&native->body, &object.ours}) {
        for (const auto& [key, value] : each->items()) {
            if (key != first && !value.is_null()) {
                add(key, value);
            }
        }
    }
    for (const std::string& note : object.notes) {
        draft.note(note);
    }
    return draft;
}

std::string Names::free(std::string wanted, std::size_t bytes)
{
    const auto cut = [&wanted](std::size_t most) {
        std::string out = wanted.substr(0, most);
        while (!out.empty() && !base::is_utf8(out)) {
            out.pop_back();
        }
        return out;
    };
    std::string name = cut(bytes);
    for (std::size_t i = 2; !take(name); ++i) {
        const std::string behind = fmt::format("-{}", i);
        name = cut(bytes - behind.size()) + behind;
    }
    return name;
}

bool Names::take(std::string_view name) { return taken_.insert(base::lower(name)).second; }

} // namespace herd::app::import
