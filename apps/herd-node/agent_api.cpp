#include "herd-node/agent_api.hpp"

#include "base/ids.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

constexpr std::string_view json_type = "application/json; charset=utf-8";

/// If-None-Match names `etag` (a list is allowed, weak marks do not matter here).
bool matches(const http::Fields& fields, std::string_view etag)
{
    return std::ranges::any_of(fields.list("If-None-Match"), [&](std::string_view one) {
        if (one.starts_with("W/")) {
            one.remove_prefix(2);
        }
        return one == etag || one == "*";
    });
}

} // namespace

void add_mac(const http::ServerExchange& exchange, const discovery::Authenticator& authenticator, std::string_view body,
             http::ResponseHead& head)
{
    const auto field = exchange.head().fields.find("Herd-Nonce");
    const auto nonce = field ? discovery::parse_nonce(*field) : std::nullopt;
    if (const auto mac = nonce ? authenticator.http_mac(*nonce, body) : std::string{}; !mac.empty()) {
        head.fields.add("Herd-MAC", mac);
    }
}

http::ResponseHead answer_head(int status, std::string_view type)
{
    http::ResponseHead head;
    head.status = status;
    head.fields.add("Content-Type", type);
    return head;
}

net::Task<void> respond_bare(http::ServerExchange& exchange, http::ResponseHead head)
{
    head.framing = http::Framing::none;
    exchange.begin(std::move(head));
    (void)co_await exchange.end();
}

net::Task<void> respond_error(http::ServerExchange& exchange, int status, std::string sentence, http::Fields fields)
{
    const std::string body =
        nlohmann::json{{"error", sentence}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    auto head = answer_head(status, json_type);
    for (const auto& field : fields) {
        head.fields.add(field.name, field.value);
    }
    (void)co_await exchange.respond(std::move(head), body);
}

/// One GET /herd/v1/watch. Lives in its handler's frame.
struct AgentApi::Watcher {
    explicit Watcher(net::Loop& loop) : wake(loop), timer(loop) {}
    net::Event wake;
    net::Timer timer;
    bool due{false}; ///< keep_alive passed
    bool gone{false};
};

AgentApi::AgentApi(net::Loop& loop, AgentApiOptions options, Sources sources)
    : loop_(loop), options_(options), sources_(std::move(sources))
{
}

bool AgentApi::owns(std::string_view path)
{
    return path == "/herd" || path.starts_with("/herd/");
}

net::Task<void> AgentApi::handle(http::ServerExchange& exchange)
{
    const auto path = exchange.head().path();
    const bool node_path = path == "/herd/v1/node";
    const bool watch_path = path == "/herd/v1/watch";
    const bool herds_path = path == "/herd/v1/herds";
    if (!node_path && !watch_path && !herds_path) {
        co_await respond_error(exchange, 404, "no such path on an agent");
        co_return;
    }
    const auto& method = exchange.head().method;
    if (method != "GET" && (method != "HEAD" || watch_path)) {
        auto head = answer_head(405, "text/plain; charset=utf-8");
        head.fields.add("Allow", watch_path ? "GET" : "GET, HEAD");
        (void)co_await exchange.respond(std::move(head), "405 method not allowed");
        co_return;
    }
    if (node_path) {
        co_await node(exchange);
    } else if (watch_path) {
        co_await watch(exchange);
    } else {
        co_await herds(exchange);
    }
}

void AgentApi::note_herd(const http::ServerExchange& exchange)
{
    const auto id = exchange.head().fields.find("Herd-Id");
    const auto parsed = id ? base::Uuid::parse(*id) : std::nullopt;
    if (!parsed || parsed->is_nil() || !sources_.herd_asked) {
        return;
    }
    const auto udp = exchange.head().fields.find("Herd-Udp");
    const auto endpoint = udp ? base::Endpoint::parse(*udp) : std::nullopt;
    sources_.herd_asked(*parsed, exchange.peer().address, endpoint.value_or(base::Endpoint{}));
}

net::Task<void> AgentApi::node(http::ServerExchange& exchange)
{
    note_herd(exchange);
    auto document = sources_.document();
    document.seq = sources_.seq();
    const std::string etag = discovery::etag_of(document);
    const bool known = matches(exchange.head().fields, etag);
    auto head = answer_head(known ? 304 : 200, json_type);
    head.fields.add("ETag", etag);
    head.fields.add("Cache-Control", "no-cache");
    const std::string body = known ? std::string{} : discovery::to_json(document);
    add_mac(exchange, sources_.authenticator(), body, head);
    if (known) {
        co_await respond_bare(exchange, std::move(head));
    } else {
        (void)co_await exchange.respond(std::move(head), body);
    }
}

net::Task<void> AgentApi::watch(http::ServerExchange& exchange)
{
    note_herd(exchange);
    if (watchers_.size() >= options_.watchers_max) {
        co_await respond_error(exchange, 503, "too many watchers");
        co_return;
    }
    Watcher watcher(loop_);
    const auto place = watchers_.insert(watchers_.end(), &watcher);
    exchange.on_client_gone([&watcher] {
        watcher.gone = true;
        watcher.wake.notify();
    });
    auto head = answer_head(200, "application/x-ndjson");
    head.framing = http::Framing::chunked;
    exchange.begin(std::move(head));
    while (!stopping_ && !watcher.gone) {
        const auto& document = sources_.document();
        const discovery::WatchLine line{document.boot_id, document.state_rev, document.state,
                                        document.in_flight};
        const std::string text = discovery::to_json(line);
        const std::array pieces{std::string_view(text)};
        const auto written = co_await exchange.write(pieces);
        if (!written) {
            break;
        }
        watcher.due = false;
        watcher.timer.call_after(options_.keep_alive, [&watcher] {
            watcher.due = true;
            watcher.wake.notify();
        });
        // Woken, but by something that is told already: wait on.
        while (!stopping_ && !watcher.gone && !watcher.due && sources_.document().state_rev == line.state_rev
               && sources_.document().state == line.state) {
            co_await watcher.wake.wait();
        }
        watcher.timer.cancel();
    }
    exchange.on_client_gone(nullptr);
    watchers_.erase(place);
    exchange.close_after();
    if (!watcher.gone) {
        (void)co_await exchange.end();
    }
}

net::Task<void> AgentApi::herds(http::ServerExchange& exchange)
{
    if (!exchange.peer().address.is_loopback()) {
        co_await respond_error(exchange, 403, "asked from this machine only");
        co_return;
    }
    nlohmann::json list = nlohmann::json::array();
    for (const discovery::KnownHerd& herd : sources_.herds ? sources_.herds() : std::vector<discovery::KnownHerd>{}) {
        list.push_back({{"id", herd.id.text()},
                        {"at", herd.at.text()},
                        {"acknowledged", herd.acknowledged || herd.over_http},
                        {"over_http", herd.over_http},
                        {"not_approved", (herd.flags & discovery::ack_flag::not_approved) != 0},
                        {"api_unreachable", (herd.flags & discovery::ack_flag::api_unreachable) != 0},
                        {"duplicate_id", (herd.flags & discovery::ack_flag::duplicate_id) != 0}});
    }
    const std::string text = nlohmann::json{{"herds", std::move(list)}, {"keyed", sources_.authenticator().primary() != 0}}.dump();
    (void)co_await exchange.respond(answer_head(200, json_type), text);
}

void AgentApi::changed()
{
    for (auto* watcher : watchers_) {
        watcher->wake.notify();
    }
}

void AgentApi::stop()
{
    stopping_ = true;
    changed();
}

} // namespace herd::node
