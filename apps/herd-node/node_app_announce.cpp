// What herds hear of this agent, and what they say to it.
#include "herd-node/node_app_impl.hpp"

#include "base/log.hpp"
#include "http/fetch.hpp"

namespace herd::node {

namespace {
constexpr base::Duration announce_timeout = std::chrono::seconds{2};
} // namespace

void NodeApp::Impl::on_notice(const discovery::Notice& notice)
{
    using Kind = discovery::Notice::Kind;
    const std::string at = notice.at.text();
    switch (notice.kind) {
    case Kind::herd_found:
        log::info("discovery", "herd_found", {{"herd", notice.herd.text()}, {"at", at}});
        break;
    case Kind::herd_lost:
        log::warn("discovery", "herd_lost", {{"herd", notice.herd.text()}, {"at", at}});
        break;
    case Kind::not_approved:
        log::warn("discovery", "not_approved",
                  {{"herd", notice.herd.text()},
                   {"at", at},
                   {"advice", "approve this node there: herd nodes approve " + identity.id.text()}});
        break;
    case Kind::approved:
        log::info("discovery", "approved", {{"herd", notice.herd.text()}, {"at", at}});
        break;
    case Kind::api_unreachable:
        log::warn(
            "discovery", "api_unreachable",
            {{"herd", notice.herd.text()},
             {"at", at},
             {"advice",
              "that herd cannot connect to our port: a firewall, NAT, or --listen on the wrong address?"}});
        break;
    case Kind::duplicate_id: on_duplicate(); break;
    }
}

/// Two live nodes with one id: who has one that was generated takes a new one, who cannot says so.
void NodeApp::Impl::on_duplicate()
{
    if (std::exchange(told_duplicate, true)) {
        return;
    }
    log::error("discovery", "duplicate_id",
               {{"id", identity.id.text()},
                {"advice", "another live node has this id: a copied state directory or a cloned disk?"}});
    if (!identity.ephemeral && duplicate_id) {
        duplicate_id();
    }
}

void NodeApp::Impl::on_http_announce(const discovery::HttpAnnounce& request)
{
    if (!stopping) {
        tasks.spawn("http_announce", post_announce(request));
    }
}

net::Task<void> NodeApp::Impl::post_announce(discovery::HttpAnnounce request)
{
    Heard heard;
    for (const auto& herd : request.candidates) {
        heard = co_await post_to(herd);
        if (!heard.herd.is_nil() || stopping) {
            break;
        }
    }
    if (!stopping) {
        beacon->http_announced(request.herd, heard.herd, heard.flags);
    }
}

/// The JSON twin of an announcement. Who holds the key must hear it from one that holds it, too.
net::Task<NodeApp::Impl::Heard> NodeApp::Impl::post_to(base::Endpoint herd)
{
    auto document = agent.document();
    document.seq = beacon->announcer().seq();
    const std::string body = discovery::to_json(document);
    http::RequestHead head;
    head.method = "POST";
    head.target = "/herd/v1/announce";
    head.framing = http::Framing::length;
    head.content_length = body.size();
    head.fields.add("Host", herd.text());
    head.fields.add("Content-Type", "application/json");
    const auto nonce = discovery::make_http_nonce();
    if (const auto mac = authenticator.http_mac(nonce, body); !mac.empty()) {
        head.fields.add("Herd-Nonce", discovery::nonce_text(nonce));
        head.fields.add("Herd-MAC", mac);
    }
    const http::FetchOptions limits{announce_timeout, 64 * 1024, true};
    const auto answer = co_await http::fetch(loop, pool, herd, std::move(head), body, limits);
    if (!answer || answer->head.status != 200) {
        co_return Heard{};
    }
    const bool keyed = authenticator.primary() != 0;
    if (keyed && !authenticator.http_check(nonce, answer->body, answer->head.fields.find("Herd-MAC").value_or(""))) {
        co_return Heard{};
    }
    const auto parsed = discovery::parse_announce_answer(answer->body);
    co_return parsed ? Heard{parsed->herd, parsed->flags} : Heard{};
}

} // namespace herd::node
