#include "herd/import/one_server.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace herd::app::import {

namespace {

constexpr std::array<const char*, 2> pin_fields{"PinnedCompletionsProperties", "PinnedEmbeddingsProperties"};
/// True of the node when true of one of them.
constexpr std::array<const char*, 3> either_fields{"Active", "AllowEmbeddings", "AllowCompletions"};
/// What is not compared with that of the other.
constexpr std::array<std::string_view, 7> own_fields{"Identifier", "Name", "Hostname", "Port", "Ssl", "ApiFormat", "Labels"};

bool openai(const Object& backend) { return base::iequals(backend.text("ApiFormat"), "openai"); }

template <std::size_t N, class T>
bool among(const std::array<T, N>& list, std::string_view word) { return std::ranges::find(list, word) != list.end(); }

/// A node has pins for each family, where the two differ.
void add_pins(Object& first, const Object& again)
{
    const bool apart = openai(first) != openai(again) && first.ours.empty();
    for (const char* const field : pin_fields) {
        const Json ours = first.get(field);
        const Json theirs = again.get(field);
        const auto nothing = [](const Json& pins) { return pins.is_null() || pins.empty(); };
        if (ours == theirs || (nothing(ours) && nothing(theirs))) {
            continue;
        }
        if (!apart) {
            first.note(field, fmt::format("those of {} are left out", shown(again.id)));
            continue;
        }
        const std::string key = std::string_view(field).contains("Completions") ? "pinned_completions" : "pinned_embeddings";
        for (const auto& [pins, of_openai] : {std::pair{ours, openai(first)}, std::pair{theirs, openai(again)}}) {
            if (!nothing(pins)) {
                first.ours[key + (of_openai ? "_openai" : "_ollama")] = pins;
            }
        }
        first.fields.erase(field);
        first.note(field, fmt::format("of this one and of {}, each on the paths of its ApiFormat", shown(again.id)));
    }
}

void add_labels(Object& first, const Object& again)
{
    Json all = first.fields.value("Labels", Json::array());
    const Json more = again.fields.value("Labels", Json::array());
    for (const Json& label : more) {
        if (std::ranges::find(all, label) == all.end()) {
            all.push_back(label);
        }
    }
    first.fields["Labels"] = std::move(all);
}

/// What is said once counts; said twice and differently, as it was said first.
void add_rest(Object& first, const Object& again)
{
    for (const auto& [field, value] : again.fields.items()) {
        if (among(own_fields, field) || among(pin_fields, field) || among(either_fields, field) || first.get(field) == value || value.empty()) {
            continue;
        }
        if (!first.fields.contains(field) || first.fields[field].empty()) {
            first.fields[field] = value;
            continue;
        }
        const std::string told = is_secret(field) ? field : fmt::format("{} {}", field, first.fields[field].dump());
        first.note(told, fmt::format("holds, that of {}{} is left out", shown(again.id), is_secret(field) ? "" : " (" + value.dump() + ")"));
    }
}

} // namespace

std::string address_of(const Object& backend)
{
    const std::string host = base::lower(backend.text("Hostname"));
    const bool own = host == "localhost" || host == "0.0.0.0" || host.empty();
    return fmt::format("{} {} {}", own ? "127.0.0.1" : host, backend.fields.value("Port", Json()).dump(), backend.fields.value("Ssl", false));
}

void add_to(Object& first, const Object& again)
{
    first.notes.insert(first.notes.end(), again.notes.begin(), again.notes.end());
    const bool both = openai(first) != openai(again);
    first.note(fmt::format("{} is the same server{}", again.called(), both ? " with the other ApiFormat" : ""),
               both ? "this node serves both, with the labels of both" : "this node stands for both, with the labels of both");
    add_pins(first, again);
    add_labels(first, again);
    for (const char* const field : either_fields) {
        if (first.yes(field) != again.yes(field)) {
            first.fields[field] = true;
            first.note(fmt::format("{} is said of one of them only", field), "it holds for the node");
        }
    }
    add_rest(first, again);
    if (both) {
        first.fields["ApiFormat"] = "Ollama"; // such a node serves /v1 as well
    }
}

} // namespace herd::app::import
