#include "proxy/heads.hpp"

#include "base/text.hpp"
#include "http/hop.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

bool has_prefix(std::string_view name, std::string_view prefix)
{
    return name.size() > prefix.size() && base::iequals(name.substr(0, prefix.size()), prefix);
}

/// Names that mean something to us or to the client's own site, never to a node.
bool stays_here(std::string_view name)
{
    static constexpr std::array<std::string_view, 14> names{
        "Host",        "Authorization",   "x-api-key",         "X-Auth-Token",    "Cookie",
        "Origin",      "Referer",         "X-Forwarded-For",   "X-Forwarded-Proto", "X-Forwarded-Host",
        "Forwarded",   "X-Real-IP",       "Accept-Encoding",   "X-Ollana-Device-Id",
    };
    constexpr auto lengths = [] {
        std::uint32_t mask = 0;
        for (const auto one : names) {
            mask |= 1U << one.size();
        }
        return mask;
    }();
    const bool may_be = name.size() < 32 && (lengths >> name.size() & 1U) != 0;
    return (may_be && std::ranges::any_of(names, [name](std::string_view one) { return one.size() == name.size() && base::iequals(one, name); }))
           || has_prefix(name, "Access-Control-Request-") || has_prefix(name, "Proxy-") || is_ours(name);
}

void add_manner(http::RequestHead& head, const fleet::Manner& manner)
{
    if (!manner.query.empty()) {
        head.target.append(head.target.find('?') == std::string::npos ? "?" : "&").append(manner.query);
    }
    for (const auto& [name, value] : manner.headers) {
        head.fields.remove(name); // what was configured counts, not what the client sent
        head.fields.add(name, value);
    }
}

bool goes_to_node(std::string_view name) { return !stays_here(name); }
bool goes_to_client(std::string_view name) { return !has_prefix(name, "Access-Control-") && !is_ours(name); }

} // namespace

bool is_ours(std::string_view field_name)
{
    if (field_name.size() < 2 || field_name[1] != '-') {
        return false;
    }
    return has_prefix(field_name, "X-Herd-") || has_prefix(field_name, "X-Fleet-")
           || has_prefix(field_name, "X-OllamaFlow-");
}

void address_to(http::RequestHead& head, const fleet::Address& address)
{
    head.target.insert(0, address.path_prefix);
    head.fields.add("Host", address.host_header.empty() ? address.endpoint.text() : address.host_header);
    if (!address.bearer.empty()) {
        head.fields.add("Authorization", "Bearer " + address.bearer);
    }
    if (address.proof != nullptr) {
        head.fields.add("X-Herd-Proof", *address.proof);
    }
    if (address.manner) {
        add_manner(head, *address.manner);
    }
}

http::RequestHead node_head(const http::RequestHead& client, const fleet::Address& address,
                            const base::Endpoint& peer, std::string_view own_id, bool secure)
{
    http::RequestHead head;
    make_node_head(client, address, peer, own_id, secure, head);
    return head;
}

void make_node_head(const http::RequestHead& client, const fleet::Address& address, const base::Endpoint& peer,
                    std::string_view own_id, bool secure, http::RequestHead& head)
{
    head.minor = 1;
    head.keep_alive = true;
    head.fields.clear();
    head.method = client.method;
    head.target.assign(address.path_prefix).append(client.target);
    head.framing = client.framing;
    head.content_length = client.content_length;
    head.fields.reserve(client.fields.bytes() + 256, client.fields.size() + 8);
    if (address.host_header.empty()) {
        head.fields.append("Host", address.endpoint.text());
    } else {
        head.fields.add("Host", address.host_header);
    }
    http::copy_end_to_end(client.fields, head.fields, goes_to_node);
    if (!address.bearer.empty()) {
        head.fields.add("Authorization", "Bearer " + address.bearer);
    }
    if (address.proof != nullptr) {
        head.fields.append("X-Herd-Proof", *address.proof); // one of the names that never come from a client
    }
    if (address.manner) {
        add_manner(head, *address.manner);
        if (address.manner->cloud) {
            return;
        }
    }
    head.fields.append("X-Forwarded-For", peer.address.without_scope().text());
    head.fields.append("X-Forwarded-Proto", secure ? "https" : "http");
    http::add_via(head.fields, own_id);
}

http::ResponseHead client_head(http::ResponseHead node)
{
    make_client_head(node);
    return node;
}

void make_client_head(http::ResponseHead& node)
{
    http::keep_end_to_end(node.fields, goes_to_client);
    node.minor = 1;
    node.keep_alive = true;
}

} // namespace herd::proxy
