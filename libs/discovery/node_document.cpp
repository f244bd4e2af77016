// Writing: documents as JSON text, with the rows of Ollama spliced in as they came.
#include "discovery/node_document.hpp"

#include <utility>

#include <nlohmann/json.hpp>

namespace herd::discovery {

namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json)
{
    return json.dump(-1, ' ', false, Json::error_handler_t::replace); // text from a node may be any bytes
}

template <class T>
void put(Json& json, const char* key, const std::optional<T>& value)
{
    if (value) {
        json[key] = *value;
    }
}

Json host_json(const HostFacts& host)
{
    Json json = Json::object();
    put(json, "cores_logical", host.cores_logical);
    put(json, "cores_physical", host.cores_physical);
    put(json, "cpu_busy", host.cpu_busy);
    put(json, "load1", host.load1);
    put(json, "memory_total", host.memory_total);
    put(json, "memory_available", host.memory_available);
    put(json, "swap_used", host.swap_used);
    put(json, "memory_pressure", host.memory_pressure);
    put(json, "temperature_c", host.temperature_c);
    for (const auto& [key, text] : {std::pair{"cpu", &host.cpu}, std::pair{"arch", &host.arch}}) {
        if (!text->empty()) {
            json[key] = *text;
        }
    }
    return json;
}

Json settings_json(const SettingsFacts& settings)
{
    Json json = Json::object();
    if (!settings.keep_alive.empty()) {
        json["keep_alive"] = settings.keep_alive;
    }
    put(json, "num_parallel", settings.num_parallel);
    put(json, "max_loaded_models", settings.max_loaded_models);
    put(json, "context_length", settings.context_length);
    return json;
}

Json gpu_json(const GpuFacts& gpu)
{
    Json json{{"index", gpu.index}, {"vendor", gpu.vendor}, {"name", gpu.name}, {"uuid", gpu.uuid}};
    put(json, "vram_total", gpu.vram_total);
    put(json, "vram_free", gpu.vram_free);
    put(json, "busy", gpu.busy);
    put(json, "temperature_c", gpu.temperature_c);
    put(json, "power_w", gpu.power_w);
    put(json, "power_limit_w", gpu.power_limit_w);
    put(json, "memory_gb_per_s", gpu.memory_gb_per_s);
    for (const auto& [key, set] : {std::pair{"unified_memory", gpu.unified_memory}, std::pair{"throttled", gpu.throttled},
                                   std::pair{"failed", gpu.failed}}) {
        if (set) {
            json[key] = true;
        }
    }
    return json;
}

/// The object's text with `row` spliced in as it is.
std::string with_row(const Json& json, const std::string& row)
{
    std::string text = dump(json);
    if (!row.empty()) {
        text.pop_back();
        text += ",\"row\":" + row + '}';
    }
    return text;
}

std::string model_text(const ModelFacts& model)
{
    Json json{{"name", model.name}, {"digest", model.digest}, {"size", model.size}, {"modified_at", model.modified_at}};
    put(json, "cache_bytes_per_token", model.cache_bytes_per_token);
    return with_row(json, model.row);
}

std::string loaded_text(const LoadedFacts& loaded)
{
    Json json{{"name", loaded.name}, {"digest", loaded.digest}, {"size", loaded.size}, {"size_vram", loaded.size_vram}};
    put(json, "context_length", loaded.context_length);
    json["expires_at"] = loaded.expires_at;
    put(json, "unload_in_s", loaded.unload_in_s);
    put(json, "slots", loaded.slots);
    put(json, "in_flight", loaded.in_flight);
    if (loaded.loading) {
        json["loading"] = true;
    }
    return with_row(json, loaded.row);
}

template <class T, class Text>
void append_list(std::string& out, const char* key, const std::vector<T>& items, Text&& text)
{
    out += std::string{",\""} + key + "\":[";
    for (std::size_t i = 0; i < items.size(); ++i) {
        out += (i == 0 ? "" : ",") + text(items[i]);
    }
    out += ']';
}

} // namespace

std::string to_json(const NodeDocument& doc)
{
    Json json{{"sender_id", doc.sender_id.text()},
              {"boot_id", doc.boot_id},
              {"seq", doc.seq},
              {"state", std::string{to_string(doc.state)}}};
    if (!doc.state_reason.empty()) {
        json["state_reason"] = doc.state_reason;
    }
    json["state_rev"] = doc.state_rev;
    if (doc.ephemeral_id) {
        json["ephemeral_id"] = true;
    }
    json["cluster"] = doc.cluster;
    json["name"] = doc.name;
    json["agent_version"] = doc.agent_version;
    json["ollama_version"] = doc.ollama_version;
    json["api_port"] = doc.api_port;
    json["agent_port"] = doc.agent_port;
    json["gateway"] = doc.gateway;
    if (doc.tls_pin) {
        std::string hex;
        for (const std::uint8_t byte : *doc.tls_pin) {
            constexpr std::string_view digits = "0123456789abcdef";
            hex += digits[byte >> 4U];
            hex += digits[byte & 15U];
        }
        json["tls_sha256"] = hex;
    }
    json["watch"] = doc.watch;
    json["labels"] = doc.labels;
    json["addresses"] = Json::array();
    for (const Subnet& own : doc.addresses) {
        json["addresses"].push_back(own.address.without_scope().text() + '/' + std::to_string(own.prefix_length));
    }
    if (!doc.keys.empty()) {
        json["keys"] = doc.keys;
    }
    if (!doc.tls_fingerprint.empty()) {
        json["tls_fingerprint"] = doc.tls_fingerprint;
    }
    json["interval_ms"] = doc.interval_ms;
    json["detect_mult"] = doc.detect_mult;
    json["host"] = host_json(doc.host);
    if (doc.settings != SettingsFacts{}) {
        json["settings"] = settings_json(doc.settings);
    }
    if (doc.disk.total && doc.disk.free) {
        json["disk"] = {{"total", *doc.disk.total}, {"free", *doc.disk.free}};
    }
    json["gpus"] = Json::array();
    for (const GpuFacts& own : doc.gpus) {
        json["gpus"].push_back(gpu_json(own));
    }
    put(json, "slots", doc.slots);
    json["in_flight"] = doc.in_flight;
    json["queued"] = doc.queued;
    put(json, "tokens_per_s", doc.tokens_per_s);
    std::string out = dump(json);
    out.pop_back();
    append_list(out, "models", doc.models, &model_text);
    append_list(out, "loaded", doc.loaded, &loaded_text);
    out += '}';
    return out;
}

std::string etag_of(std::uint64_t boot_id, std::uint32_t state_rev)
{
    return '"' + std::to_string(boot_id) + '-' + std::to_string(state_rev) + '"';
}

std::string etag_of(const NodeDocument& document) { return etag_of(document.boot_id, document.state_rev); }

std::string to_json(const WatchLine& line)
{
    return dump({{"boot_id", line.boot_id}, {"state_rev", line.state_rev}, {"state", std::string{to_string(line.state)}},
                 {"in_flight", line.in_flight}})
        + '\n';
}

std::string to_json(const AnnounceAnswer& answer)
{
    return dump({{"herd", answer.herd.text()}, {"boot_id", answer.boot_id},
                 {"wanted_interval_ms", answer.wanted_interval_ms}, {"flags", answer.flags}});
}

} // namespace herd::discovery
