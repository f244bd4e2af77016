#include "herd/static_nodes.hpp"

#include "base/text.hpp"
#include "herd/node_proxy.hpp"
#include "herd/node_url.hpp"
#include "net/crypto.hpp"
#include "net/tls.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace herd::app {

namespace {

constexpr int slots_max = 65536;
constexpr std::size_t text_bytes_max = 4096;
constexpr std::size_t pairs_max = 32;
constexpr std::string_view cloud_key_variable = "OLLAMA_API_KEY";

std::unexpected<base::Error> refuse(const http::Url& url, std::string_view why)
{
    return base::fail(base::Errc::bad_config, "node " + url.text() + ": " + std::string{why});
}

bool printable(const std::string& text)
{
    return text.size() <= text_bytes_max
        && std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

bool is_token(std::string_view text)
{
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || marks.find(c) != marks.npos;
    });
}

/// Fields that say how a message travels, or that have a key of their own here.
bool is_reserved(std::string_view name)
{
    static constexpr std::array<std::string_view, 11> names{
        "host", "connection", "keep-alive", "content-length", "transfer-encoding", "te",
        "trailer", "upgrade", "expect", "authorization", "via"};
    return std::ranges::any_of(names, [name](std::string_view one) { return base::iequals(one, name); });
}

std::string percent_encoded(std::string_view text)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
            || c == '_' || c == '~';
        plain ? out.push_back(c) : void(out.append("%").append(1, digits[byte >> 4U]).append(1, digits[byte & 15U]));
    }
    return out;
}

base::NodeId id_of(const http::Url& url)
{
    const std::string text = "herd/static/" + url.text();
    const auto digest = net::sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}); // NOLINT
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(digest.begin(), bytes.size(), bytes.begin());
    return base::Uuid::from_hash(bytes, 8);
}

std::optional<net::Digest> parse_pin(std::string text)
{
    std::erase(text, ':');
    net::Digest pin{};
    const std::string_view digits = "0123456789abcdef";
    if (text.size() != 2 * pin.size()) {
        return std::nullopt;
    }
    const std::string low = base::lower(text);
    for (std::size_t i = 0; i < pin.size(); ++i) {
        const auto high = digits.find(low[2 * i]);
        const auto rest = digits.find(low[2 * i + 1]);
        if (high == std::string_view::npos || rest == std::string_view::npos) {
            return std::nullopt;
        }
        pin[i] = static_cast<std::uint8_t>(high * 16 + rest);
    }
    return pin;
}

base::Result<void> add_pairs(const ConfiguredNode& settings, const http::Url& url, fleet::Manner& manner)
{
    if (settings.headers.size() > pairs_max || settings.query.size() > pairs_max) {
        return refuse(url, "headers and query may hold 32 entries each");
    }
    for (const std::string& pair : settings.headers) {
        const std::string name = pair.substr(0, pair.find('='));
        if (name.size() == pair.size() || !is_token(name) || is_reserved(name) || !printable(pair)) {
            return refuse(url, "headers: \"" + (printable(name) ? name : "?")
                                   + "\" is no field that may be set here, or it has no value (write name=value)");
        }
        manner.headers.emplace_back(name, pair.substr(name.size() + 1));
    }
    for (const std::string& pair : settings.query) {
        const auto equals = pair.find('=');
        if (equals == std::string::npos || equals == 0 || !printable(pair)) {
            return refuse(url, "query: write name=value");
        }
        manner.query += (manner.query.empty() ? "" : "&") + percent_encoded(pair.substr(0, equals)) + "="
            + percent_encoded(pair.substr(equals + 1));
    }
    return {};
}

base::Result<void> add_trust(const ConfiguredNode& settings, const http::Url& url, fleet::Manner& manner)
{
    const bool said = !settings.tls_verify || !settings.tls_ca_file.empty() || !settings.tls_pin.empty();
    if (url.scheme != "https") {
        return said ? base::Result<void>{refuse(url, "tls.verify, tls.ca_file and tls.pin need an https URL")} : base::Result<void>{};
    }
    auto trust = std::make_shared<base::PeerTrust>();
    trust->host = url.host;
    trust->ca_file = settings.tls_ca_file;
    trust->verify = settings.tls_verify;
    if (!settings.tls_pin.empty()) {
        trust->pin = parse_pin(settings.tls_pin);
        if (!trust->pin) {
            return refuse(url, "tls.pin: expected the 64 hexadecimal digits of a SHA-256");
        }
    }
    if (manner.cloud && (!trust->verify || trust->pin)) {
        return refuse(url, "tls.verify and tls.pin: the certificate of Ollama Cloud is always verified");
    }
    if (!settings.tls_ca_file.empty()) {
        if (const auto readable = net::TlsContext::client(settings.tls_ca_file); !readable) {
            return refuse(url, readable.error().context);
        }
    }
    manner.trust = std::move(trust);
    return {};
}

/// Behind add_trust(): a proxy is a way to the same peer, TLS or not.
base::Result<void> add_proxy(const ConfiguredNode& settings, const http::Url& url, const NodeSurroundings& around, fleet::Manner& manner)
{
    if (settings.proxy.empty()) {
        return {};
    }
    auto tunnel = parse_proxy(settings.proxy, url);
    if (!tunnel) {
        return refuse(url, "proxy: " + tunnel.error().context);
    }
    const http::Url at{.host = tunnel->host, .port = tunnel->port};
    if (const std::string why = why_no_node(at, around.listeners, around.own_addresses); !why.empty()) {
        return refuse(url, "proxy: that " + why);
    }
    auto trust = std::make_shared<base::PeerTrust>(manner.trust ? *manner.trust : base::PeerTrust{.tls = false});
    trust->tunnel = std::move(*tunnel);
    manner.trust = std::move(trust);
    return {};
}

/// As browsers write it: without the port that goes without saying.
std::string host_header_of(const http::Url& url)
{
    const std::string text = url.authority();
    const bool usual = url.port == (url.scheme == "https" ? 443 : 80);
    std::string host = usual ? text.substr(0, text.rfind(':')) : text;
    if (host.ends_with('.')) {
        host.pop_back();
    }
    return host;
}

/// The first line of a file that its owner alone can read; nothing, and why in `lacking`, while it has none.
base::Result<std::string> read_bearer_file(const std::string& path, const http::Url& url, std::string& lacking)
{
    const auto text = store::read_secret_file(path, text_bytes_max);
    if (!text && text.error().code != base::Errc::not_found) {
        return refuse(url, "bearer_file: " + text.error().context);
    }
    const std::string bearer{text ? base::trim(std::string_view(*text).substr(0, text->find('\n'))) : std::string_view{}};
    lacking = !text ? "no key: put it into " + path + ", there is no such file" : bearer.empty() ? "no key: put it into " + path + ", it is empty" : "";
    return bearer;
}

/// Finds the bearer where it was said to be; `manner.lacking` says what to do when it is not there.
base::Result<std::string> find_bearer(const ConfiguredNode& settings, const http::Url& url, const NodeSurroundings& around,
                                      fleet::Manner& manner)
{
    const int sources = int{!settings.bearer.empty()} + int{!settings.bearer_env.empty()} + int{!settings.bearer_file.empty()};
    if (sources > 1) {
        return refuse(url, "bearer, bearer_env and bearer_file exclude each other");
    }
    std::string bearer = settings.bearer;
    if (!settings.bearer_file.empty()) {
        auto read = read_bearer_file(settings.bearer_file, url, manner.lacking);
        if (!read) {
            return read;
        }
        bearer = std::move(*read);
    } else if (!settings.bearer_env.empty() || (sources == 0 && manner.cloud)) {
        const std::string name = settings.bearer_env.empty() ? std::string{cloud_key_variable} : settings.bearer_env;
        bearer = around.variable ? around.variable(name) : std::string{};
        if (bearer.empty() && manner.cloud && around.keyring) {
            bearer = around.keyring();
        }
        manner.lacking = bearer.empty() ? "no key: set " + name : "";
    }
    if (!printable(bearer)) {
        return refuse(url, "the bearer must not hold control characters");
    }
    return bearer;
}

} // namespace

base::Result<StaticNode> make_static_node(ConfiguredNode settings, const NodeSurroundings& around)
{
    auto parsed = http::Url::parse(settings.url);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    const http::Url& url = *parsed;
    if (const std::string why = why_no_node(url, around.listeners, around.own_addresses); !why.empty()) {
        return refuse(url, "url: that " + why);
    }
    if (settings.slots > slots_max) {
        return refuse(url, "slots must be between 1 and 65536");
    }
    // Names and labels travel in header fields.
    if (!printable(settings.name) || !std::ranges::all_of(settings.labels, printable)) {
        return refuse(url, "name and labels must not hold control characters");
    }
    if (!settings.health_path.empty() && (!settings.health_path.starts_with('/') || !printable(settings.health_path)
                                          || settings.health_path.find(' ') != std::string::npos)) {
        return refuse(url, "health_path: expected a path such as /health");
    }
    auto manner = std::make_shared<fleet::Manner>();
    manner->api = settings.api == NodeDialect::openai ? fleet::NodeApi::openai : fleet::NodeApi::ollama;
    manner->cloud = settings.kind == NodeKind::cloud || is_cloud_origin(url);
    manner->weight = settings.weight;
    manner->down_after = static_cast<int>(settings.down_after);
    manner->up_after = static_cast<int>(settings.up_after);
    if (!is_cloud_origin(url) && (manner->cloud || is_cloud_host(url))) {
        return refuse(url, "url: Ollama Cloud is at https://ollama.com or https://api.ollama.com, port 443; its key goes nowhere else");
    }
    for (const auto& step : {add_pairs(settings, url, *manner), add_trust(settings, url, *manner), add_proxy(settings, url, around, *manner)}) {
        if (!step) {
            return std::unexpected(step.error());
        }
    }
    auto bearer = find_bearer(settings, url, around, *manner);
    if (!bearer) {
        return std::unexpected(bearer.error());
    }
    const bool usual = !manner->trust && !manner->cloud && manner->api == fleet::NodeApi::ollama && manner->headers.empty()
        && manner->query.empty() && manner->lacking.empty() && manner->weight == 1
        && manner->down_after == fleet::Manner{}.down_after && manner->up_after == fleet::Manner{}.up_after;
    StaticNode node{.id = id_of(url),
                    .settings = {},
                    .name = settings.name.empty() ? url.authority() : settings.name,
                    .url = url,
                    .labels = settings.labels,
                    .slots = settings.slots > 0 ? std::optional{static_cast<int>(settings.slots)} : std::nullopt,
                    .bearer = std::move(*bearer),
                    .manner = usual ? nullptr : std::move(manner)};
    node.settings = std::move(settings);
    return node;
}

base::HostPort first_stop(const StaticNode& node)
{
    if (node.manner && node.manner->trust && node.manner->trust->tunnel) {
        return {node.manner->trust->tunnel->host, node.manner->trust->tunnel->port};
    }
    return {node.url.host, node.url.port};
}

fleet::StaticAdded added(const StaticNode& node)
{
    fleet::StaticAdded event{.id = node.id, .name = node.name, .url = node.url.text(), .labels = node.labels, .slots = node.slots, .drained = node.drained};
    event.address.configured = true;
    event.address.host_header = host_header_of(node.url);
    event.address.path_prefix = node.url.path;
    event.address.bearer = node.bearer;
    event.address.manner = node.manner;
    const base::HostPort first = first_stop(node);
    event.address.endpoint.port = first.port;
    if (const auto numeric = base::IpAddress::parse(first.host)) {
        event.address.endpoint.address = *numeric;
    }
    return event;
}

} // namespace herd::app
