// Reading documents that others wrote: limits first, every member's type checked, one sentence per failure.
#include "base/text.hpp"
#include "discovery/internal/json_slices.hpp"
#include "discovery/node_document.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

namespace herd::discovery {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t text_bytes_limit = 512;
constexpr std::size_t row_bytes_limit = 64 * base::kib;
constexpr std::size_t models_limit = 8192;
constexpr std::size_t loaded_limit = 512;
constexpr std::size_t gpus_limit = 64;
constexpr std::size_t labels_limit = 64;
constexpr std::size_t addresses_limit = 64;
constexpr std::size_t fingerprint_digits = 64;
constexpr int depth_limit = 64;

/// Thrown and caught inside this file only: the sentence that says what is wrong.
struct Wrong {
    std::string sentence;
};

template <class T>
T whole(const Json& value, const std::string& where)
{
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
        throw Wrong{where + " must be a whole number from 0 to " + std::to_string(most)};
    }
    return static_cast<T>(value.get<std::uint64_t>());
}

double number(const Json& value, const std::string& where)
{
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
        throw Wrong{where + " must be a number"};
    }
    return value.get<double>();
}

bool truth(const Json& value, const std::string& where)
{
    if (!value.is_boolean()) {
        throw Wrong{where + " must be true or false"};
    }
    return value.get<bool>();
}

std::string text(const Json& value, const std::string& where)
{
    if (!value.is_string()) {
        throw Wrong{where + " must be a string"};
    }
    auto result = value.get<std::string>();
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (result.size() > text_bytes_limit || std::ranges::any_of(result, control)) {
        throw Wrong{where + " must be at most " + std::to_string(text_bytes_limit) + " bytes without control characters"};
    }
    return result;
}

/// 64 lower-case hexadecimal digits.
std::array<std::uint8_t, 32> digest(const Json& value, const std::string& where)
{
    constexpr std::string_view digits = "0123456789abcdef";
    const std::string hex = text(value, where);
    std::array<std::uint8_t, 32> result{};
    if (hex.size() != 2 * result.size() || hex.find_first_not_of(digits) != std::string::npos) {
        throw Wrong{where + " must be 64 hexadecimal digits in lower case"};
    }
    for (std::size_t i = 0; i < result.size(); ++i) {
        result[i] = static_cast<std::uint8_t>(digits.find(hex[2 * i]) * 16 + digits.find(hex[2 * i + 1]));
    }
    return result;
}

/// One JSON object being read: names its members in errors.
class Members {
public:
    Members(const Json& json, std::string where) : json_(json), where_(std::move(where))
    {
        if (!json_.is_object()) {
            throw Wrong{(where_.empty() ? "the document" : where_) + " must be an object"};
        }
    }
    [[nodiscard]] const Json* find(const char* key) const
    {
        const auto found = json_.find(key);
        return found == json_.end() || found->is_null() ? nullptr : &*found;
    }
    [[nodiscard]] const Json& need(const char* key) const
    {
        const Json* found = find(key);
        if (found == nullptr) {
            throw Wrong{name(key) + " is missing"};
        }
        return *found;
    }
    [[nodiscard]] std::string name(const char* key) const { return where_.empty() ? key : where_ + '.' + key; }

    template <class T>
    void read_whole(const char* key, T& into) const
    {
        if (const Json* found = find(key)) {
            into = whole<T>(*found, name(key));
        }
    }
    template <class T>
    void read_whole(const char* key, std::optional<T>& into) const
    {
        if (const Json* found = find(key)) {
            into = whole<T>(*found, name(key));
        }
    }
    void read_number(const char* key, std::optional<double>& into) const
    {
        if (const Json* found = find(key)) {
            into = number(*found, name(key));
        }
    }
    void read_truth(const char* key, bool& into) const
    {
        if (const Json* found = find(key)) {
            into = truth(*found, name(key));
        }
    }
    void read_text(const char* key, std::string& into) const
    {
        if (const Json* found = find(key)) {
            into = text(*found, name(key));
        }
    }
    /// Calls `take(element, name)` for each element of an array with at most `limit` of them.
    template <class Take>
    void read_list(const char* key, std::size_t limit, Take&& take) const
    {
        const Json* found = find(key);
        if (found == nullptr) {
            return;
        }
        if (!found->is_array() || found->size() > limit) {
            throw Wrong{name(key) + " must be an array of at most " + std::to_string(limit) + " elements"};
        }
        for (std::size_t i = 0; i < found->size(); ++i) {
            take((*found)[i], name(key) + '[' + std::to_string(i) + ']');
        }
    }

private:
    const Json& json_;
    std::string where_;
};

base::Uuid uuid(const Json& value, const std::string& where)
{
    const auto id = base::Uuid::parse(text(value, where));
    if (!id || id->is_nil()) {
        throw Wrong{where + " must be a UUID"};
    }
    return *id;
}

State state(const Json& value, const std::string& where)
{
    const auto known = parse_state(text(value, where));
    if (!known) {
        throw Wrong{where + " must be one of init, ready, busy, draining, backend_down, maintenance"};
    }
    return *known;
}

Subnet subnet(const Json& value, const std::string& where)
{
    const std::string written = text(value, where);
    const auto slash = written.find('/');
    const auto address = base::IpAddress::parse(written.substr(0, slash));
    const auto prefix = slash == std::string::npos ? std::nullopt : base::parse_unsigned(written.substr(slash + 1));
    if (!address || !prefix || *prefix > (address->is_v4() ? 32U : 128U)) {
        throw Wrong{where + " must be an address and prefix length such as 192.168.7.2/24"};
    }
    return {address->without_scope(), static_cast<std::uint8_t>(*prefix)};
}

HostFacts host(const Json& json, const std::string& where)
{
    const Members in(json, where);
    HostFacts host;
    in.read_whole("cores_logical", host.cores_logical);
    in.read_whole("cores_physical", host.cores_physical);
    in.read_number("cpu_busy", host.cpu_busy);
    in.read_number("load1", host.load1);
    in.read_whole("memory_total", host.memory_total);
    in.read_whole("memory_available", host.memory_available);
    in.read_whole("swap_used", host.swap_used);
    in.read_number("memory_pressure", host.memory_pressure);
    in.read_number("temperature_c", host.temperature_c);
    in.read_text("cpu", host.cpu);
    in.read_text("arch", host.arch);
    return host;
}

SettingsFacts settings(const Json& json, const std::string& where)
{
    const Members in(json, where);
    SettingsFacts settings;
    in.read_text("keep_alive", settings.keep_alive);
    in.read_whole("num_parallel", settings.num_parallel);
    in.read_whole("max_loaded_models", settings.max_loaded_models);
    in.read_whole("context_length", settings.context_length);
    return settings;
}

DiskFacts disk(const Json& json, const std::string& where)
{
    const Members in(json, where);
    DiskFacts disk;
    in.read_whole("total", disk.total);
    in.read_whole("free", disk.free);
    return disk;
}

GpuFacts gpu(const Json& json, const std::string& where)
{
    const Members in(json, where);
    GpuFacts gpu;
    in.read_whole("index", gpu.index);
    in.read_text("vendor", gpu.vendor);
    in.read_text("name", gpu.name);
    in.read_text("uuid", gpu.uuid);
    in.read_whole("vram_total", gpu.vram_total);
    in.read_whole("vram_free", gpu.vram_free);
    in.read_number("busy", gpu.busy);
    in.read_number("temperature_c", gpu.temperature_c);
    in.read_number("power_w", gpu.power_w);
    in.read_number("power_limit_w", gpu.power_limit_w);
    in.read_whole("memory_gb_per_s", gpu.memory_gb_per_s);
    in.read_truth("unified_memory", gpu.unified_memory);
    in.read_truth("throttled", gpu.throttled);
    in.read_truth("failed", gpu.failed);
    return gpu;
}

/// The text of `row` inside a raw element. Errors: Wrong when the tree has a row that is no object, or too long.
std::string row(const Members& in, std::string_view element)
{
    std::string_view raw;
    internal::each_member(element, [&](std::string_view key, std::string_view value) {
        if (key == "row") {
            raw = value;
        }
    });
    const Json* parsed = in.find("row");
    if (parsed == nullptr) {
        return {};
    }
    if (!parsed->is_object() || !raw.starts_with('{') || raw.size() > row_bytes_limit) {
        throw Wrong{in.name("row") + " must be an object of at most " + std::to_string(row_bytes_limit) + " bytes"};
    }
    return std::string{raw};
}

ModelFacts model(const Json& json, const std::string& where, std::string_view raw)
{
    const Members in(json, where);
    ModelFacts model;
    model.name = text(in.need("name"), in.name("name"));
    in.read_text("digest", model.digest);
    in.read_whole("size", model.size);
    in.read_text("modified_at", model.modified_at);
    in.read_whole("cache_bytes_per_token", model.cache_bytes_per_token);
    model.row = row(in, raw);
    return model;
}

LoadedFacts loaded(const Json& json, const std::string& where, std::string_view raw)
{
    const Members in(json, where);
    LoadedFacts loaded;
    loaded.name = text(in.need("name"), in.name("name"));
    in.read_text("digest", loaded.digest);
    in.read_whole("size", loaded.size);
    in.read_whole("size_vram", loaded.size_vram);
    in.read_whole("context_length", loaded.context_length);
    in.read_text("expires_at", loaded.expires_at);
    in.read_whole("unload_in_s", loaded.unload_in_s);
    in.read_whole("slots", loaded.slots);
    in.read_whole("in_flight", loaded.in_flight);
    in.read_truth("loading", loaded.loading);
    loaded.row = row(in, raw);
    return loaded;
}

/// The raw elements of the top-level arrays "models" and "loaded".
struct RawLists {
    std::vector<std::string_view> models{};
    std::vector<std::string_view> loaded{};
};

RawLists raw_lists(std::string_view document)
{
    RawLists lists;
    internal::each_member(document, [&](std::string_view key, std::string_view value) {
        if (key != "models" && key != "loaded") {
            return;
        }
        auto& list = key == "models" ? lists.models : lists.loaded;
        list.clear();
        internal::each_element(value, [&](std::string_view element) { list.push_back(element); });
    });
    return lists;
}

bool too_deep(std::string_view text)
{
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            i += c == '\\' ? 1 : 0;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_limit) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

template <class T>
void read_rows(const Members& in, const char* key, std::size_t limit, const std::vector<std::string_view>& raw,
               std::vector<T>& into, T (*read)(const Json&, const std::string&, std::string_view))
{
    in.read_list(key, limit, [&](const Json& element, const std::string& where) {
        const std::size_t i = into.size();
        into.push_back(read(element, where, i < raw.size() ? raw[i] : std::string_view{}));
    });
}

NodeDocument read(const Json& json, std::string_view raw)
{
    const Members in(json, "");
    NodeDocument doc;
    doc.sender_id = uuid(in.need("sender_id"), "sender_id");
    doc.boot_id = whole<std::uint64_t>(in.need("boot_id"), "boot_id");
    doc.seq = whole<std::uint32_t>(in.need("seq"), "seq");
    doc.state = state(in.need("state"), "state");
    in.read_text("state_reason", doc.state_reason);
    doc.state_rev = whole<std::uint32_t>(in.need("state_rev"), "state_rev");
    in.read_truth("ephemeral_id", doc.ephemeral_id);
    in.read_whole("cluster", doc.cluster);
    in.read_text("name", doc.name);
    in.read_text("agent_version", doc.agent_version);
    in.read_text("ollama_version", doc.ollama_version);
    doc.api_port = whole<std::uint16_t>(in.need("api_port"), "api_port");
    doc.agent_port = whole<std::uint16_t>(in.need("agent_port"), "agent_port");
    if (doc.agent_port == 0 || (doc.api_port == 0 && (doc.state == State::ready || doc.state == State::busy))) {
        throw Wrong{"agent_port, and api_port of a ready node, must not be 0"};
    }
    in.read_truth("gateway", doc.gateway);
    if (const Json* found = in.find("tls_sha256")) {
        doc.tls_pin = digest(*found, "tls_sha256");
    }
    in.read_truth("watch", doc.watch);
    in.read_list("labels", labels_limit,
                 [&](const Json& e, const std::string& where) { doc.labels.push_back(text(e, where)); });
    in.read_list("addresses", addresses_limit,
                 [&](const Json& e, const std::string& where) { doc.addresses.push_back(subnet(e, where)); });
    in.read_list("keys", key_ring_limit, [&](const Json& e, const std::string& where) {
        doc.keys.push_back(whole<std::uint8_t>(e, where));
    });
    in.read_text("tls_fingerprint", doc.tls_fingerprint);
    const bool hex = doc.tls_fingerprint.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!doc.tls_fingerprint.empty() && (doc.tls_fingerprint.size() != fingerprint_digits || !hex)) {
        throw Wrong{"tls_fingerprint must be 64 lower-case hex digits"};
    }
    in.read_whole("interval_ms", doc.interval_ms);
    in.read_whole("detect_mult", doc.detect_mult);
    doc.interval_ms = std::clamp<std::uint16_t>(doc.interval_ms, 100, 60000);
    doc.detect_mult = std::clamp<std::uint8_t>(doc.detect_mult, 2, 10);
    if (const Json* found = in.find("host")) {
        doc.host = host(*found, "host");
    }
    if (const Json* found = in.find("settings")) {
        doc.settings = settings(*found, "settings");
    }
    if (const Json* found = in.find("disk")) {
        doc.disk = disk(*found, "disk");
    }
    in.read_list("gpus", gpus_limit, [&](const Json& e, const std::string& where) { doc.gpus.push_back(gpu(e, where)); });
    in.read_whole("slots", doc.slots);
    in.read_whole("in_flight", doc.in_flight);
    in.read_whole("queued", doc.queued);
    in.read_number("tokens_per_s", doc.tokens_per_s);
    const RawLists lists = raw_lists(raw);
    read_rows(in, "models", models_limit, lists.models, doc.models, &model);
    read_rows(in, "loaded", loaded_limit, lists.loaded, doc.loaded, &loaded);
    return doc;
}

/// Parses `text` and lets `read` make a value of it; every kind of failure is one sentence.
template <class T, class Read>
base::Result<T> parsed(std::string_view what, std::string_view text, std::size_t limit, Read&& read)
{
    const std::string prefix = std::string{what} + ": ";
    if (text.size() > limit) {
        return base::fail(base::Errc::too_large, prefix + "more than " + base::format_bytes(limit), base::Source::node);
    }
    if (too_deep(text)) {
        return base::fail(base::Errc::malformed, prefix + "nested too deeply", base::Source::node);
    }
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) {
        return base::fail(base::Errc::malformed, prefix + "not JSON", base::Source::node);
    }
    try {
        return read(json);
    } catch (const Wrong& wrong) {
        return base::fail(base::Errc::malformed, prefix + wrong.sentence, base::Source::node);
    }
}

} // namespace

base::Result<NodeDocument> parse_node_document(std::string_view text)
{
    return parsed<NodeDocument>("node document", text, node_document_bytes_limit,
                                [&](const Json& json) { return read(json, text); });
}

base::Result<WatchLine> parse_watch_line(std::string_view text)
{
    return parsed<WatchLine>("watch line", text, 4096, [](const Json& json) {
        const Members in(json, "");
        WatchLine line;
        line.boot_id = whole<std::uint64_t>(in.need("boot_id"), "boot_id");
        line.state_rev = whole<std::uint32_t>(in.need("state_rev"), "state_rev");
        line.state = state(in.need("state"), "state");
        in.read_whole("in_flight", line.in_flight);
        return line;
    });
}

base::Result<AnnounceAnswer> parse_announce_answer(std::string_view text)
{
    return parsed<AnnounceAnswer>("answer to an announcement", text, 4096, [](const Json& json) {
        const Members in(json, "");
        AnnounceAnswer answer;
        answer.herd = uuid(in.need("herd"), "herd");
        answer.boot_id = whole<std::uint64_t>(in.need("boot_id"), "boot_id");
        in.read_whole("wanted_interval_ms", answer.wanted_interval_ms);
        in.read_whole("flags", answer.flags);
        return answer;
    });
}

} // namespace herd::discovery
