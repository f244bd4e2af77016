#include "herd/static_nodes.hpp"

#include "base/text.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

constexpr int slots_max = 65536;
constexpr std::size_t text_bytes_max = 4096;

bool printable(const std::string& text)
{
    return text.size() <= text_bytes_max
        && std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

base::NodeId id_of(const http::Url& url)
{
    const std::string text = "herd/static/" + url.text();
    const auto digest = net::sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}); // NOLINT
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(digest.begin(), bytes.size(), bytes.begin());
    return base::Uuid::from_hash(bytes, 8);
}

} // namespace

base::Result<StaticNode> make_static_node(std::string_view url, std::string name, std::vector<std::string> labels,
                                          std::optional<int> slots, std::string bearer)
{
    auto parsed = http::Url::parse(url);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    if (parsed->scheme != "http") {
        return base::fail(base::Errc::bad_config, "node URL " + std::string{url} + ": this herd speaks http to nodes, not https");
    }
    if (slots && (*slots < 1 || *slots > slots_max)) {
        return base::fail(base::Errc::bad_config, "node " + parsed->text() + ": slots must be between 1 and 65536");
    }
    // Names, labels and bearers travel in header fields.
    if (!printable(name) || !printable(bearer) || !std::ranges::all_of(labels, printable)) {
        return base::fail(base::Errc::bad_config,
                          "node " + parsed->text() + ": name, labels and bearer must not hold control characters");
    }
    StaticNode node{.id = id_of(*parsed),
                    .name = name.empty() ? parsed->authority() : std::move(name),
                    .url = std::move(*parsed),
                    .labels = std::move(labels),
                    .slots = slots,
                    .bearer = std::move(bearer)};
    return node;
}

base::Result<StaticNode> parse_static_node(std::string_view text)
{
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::bad_config, "the body must be a JSON object such as {\"url\":\"http://10.0.0.7:11434\"}");
    }
    static const std::vector<std::string> known{"url", "name", "labels", "slots", "bearer"};
    for (const auto& [key, value] : json.items()) {
        if (std::ranges::find(known, key) == known.end()) {
            const std::string near = base::nearest(key, known);
            return base::fail(base::Errc::bad_config,
                              "unknown field \"" + key + '"' + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
        }
    }
    const auto url = json.find("url");
    if (url == json.end() || !url->is_string()) {
        return base::fail(base::Errc::bad_config, "url: a string such as \"http://10.0.0.7:11434\" is required");
    }
    std::string name;
    std::string bearer;
    for (const auto& [key, target] : {std::pair{"name", &name}, std::pair{"bearer", &bearer}}) {
        if (const auto found = json.find(key); found != json.end()) {
            if (!found->is_string()) {
                return base::fail(base::Errc::bad_config, std::string{key} + ": must be a string");
            }
            *target = found->get<std::string>();
        }
    }
    std::vector<std::string> labels;
    if (const auto found = json.find("labels"); found != json.end()) {
        const bool texts = found->is_array() && std::ranges::all_of(*found, [](const auto& l) { return l.is_string(); });
        if (!texts) {
            return base::fail(base::Errc::bad_config, "labels: must be an array of strings");
        }
        labels = found->get<std::vector<std::string>>();
    }
    std::optional<int> slots;
    if (const auto found = json.find("slots"); found != json.end()) {
        if (!found->is_number_integer() || found->get<std::int64_t>() < 1 || found->get<std::int64_t>() > slots_max) {
            return base::fail(base::Errc::bad_config, "slots: must be a whole number between 1 and 65536");
        }
        slots = found->get<int>();
    }
    return make_static_node(url->get<std::string>(), std::move(name), std::move(labels), slots, std::move(bearer));
}

fleet::StaticAdded added(const StaticNode& node)
{
    fleet::StaticAdded event{.id = node.id, .name = node.name, .url = node.url.text(), .labels = node.labels, .slots = node.slots};
    event.address.host_header = node.url.authority();
    event.address.path_prefix = node.url.path;
    event.address.bearer = node.bearer;
    event.address.endpoint.port = node.url.port;
    if (const auto numeric = base::IpAddress::parse(node.url.host)) {
        event.address.endpoint.address = *numeric;
    }
    return event;
}

} // namespace herd::app
