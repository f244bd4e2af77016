#pragma once
// An Ollama of a few lines, on the product's own server: says what the test puts into its mouth, and hands
// out a generate stream piece by piece.
#include "http/server.hpp"
#include "net/network.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <array>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace herd::test {

class FakeOllama {
public:
    /// Serves at once on `socket`.
    FakeOllama(net::Loop& loop, net::Network& network, net::BoundSocket socket)
        : loop_(loop),
          server_(
              loop, {}, [this](http::ServerExchange& e) { return handle(e); },
              [](int status, std::string_view, std::string_view, std::string&) {
                  http::ResponseHead head;
                  head.status = status;
                  return head;
              })
    {
        server_.serve(*network.listen(std::move(socket)));
    }

    std::string version{"0.11.4"};
    std::string ps{R"({"models":[]})"};
    std::string tags{
        R"({"models":[{"name":"tiny:latest","digest":"d1","size":5,"modified_at":"2026-11-20T16:43:43Z"}]})"};
    std::string slots{}; ///< of a runner's GET /slots; empty: has none
    int authorize_status{404};
    int node_status{404};   ///< of GET /herd/v1/node
    int status_status{404}; ///< of GET /herd/v1/status
    bool silent{false};     ///< accepts, and never answers

    /// Lets every running generate send one more piece (or end, after `pieces`).
    void step()
    {
        for (auto* waiting : steps_) {
            waiting->notify();
        }
    }
    int pieces{3};

    // What happened.
    std::vector<std::string> targets{};
    std::string last_body{};
    http::Fields last_fields{};
    bool client_left{false};
    int generating{0};

    [[nodiscard]] int count(std::string_view target) const
    {
        return static_cast<int>(std::ranges::count(targets, target));
    }
    [[nodiscard]] net::Task<void> stop() { return server_.drain(loop_.now()); }

private:
    net::Task<void> handle(http::ServerExchange& exchange)
    {
        const std::string target = exchange.head().target;
        const std::string path{exchange.head().path()};
        targets.push_back(target);
        last_fields = exchange.head().fields;
        if (silent) {
            net::Event never(loop_);
            exchange.on_client_gone([&never] { never.notify(); });
            co_await never.wait();
            co_return;
        }
        auto body = co_await exchange.read_all(1024 * 1024);
        if (!body) {
            co_return;
        }
        if (!body->empty()) {
            last_body = *body;
        }
        if (path == "/api/version") {
            co_await answer(exchange, 200, "{\"version\":\"" + version + "\"}");
        } else if (path == "/api/ps") {
            co_await answer(exchange, 200, ps);
        } else if (path == "/api/tags") {
            co_await answer(exchange, 200, tags);
        } else if (path == "/slots" && !slots.empty()) {
            co_await answer(exchange, 200, slots);
        } else if (path == "/ollana/api/authorize") {
            co_await answer(exchange, authorize_status, "404 page not found");
        } else if (path == "/herd/v1/node") {
            co_await answer(exchange, node_status, "404 page not found");
        } else if (path == "/herd/v1/status") {
            co_await answer(exchange, status_status, "404 page not found");
        } else if (path == "/api/generate") {
            co_await generate(exchange);
        } else if (path == "/api/delete" || path == "/api/echo") {
            co_await answer(exchange, 200, *body);
        } else {
            co_await answer(exchange, 404, "404 page not found");
        }
    }

    static net::Task<void> answer(http::ServerExchange& exchange, int status, std::string body)
    {
        http::ResponseHead head;
        head.status = status;
        head.fields.add("Content-Type",
                        body.starts_with("{") ? "application/json; charset=utf-8" : "text/plain");
        (void)co_await exchange.respond(std::move(head), body);
    }

    net::Task<void> generate(http::ServerExchange& exchange)
    {
        ++generating;
        bool gone = false;
        net::Event next(loop_);
        const auto place = steps_.insert(steps_.end(), &next);
        exchange.on_client_gone([&gone, &next] {
            gone = true;
            next.notify();
        });
        for (int i = 0; i < pieces && !gone; ++i) {
            co_await next.wait(); // not even the head is sent before the first token
            if (gone) {
                break;
            }
            if (i == 0) {
                http::ResponseHead head;
                head.fields.add("Content-Type", "application/x-ndjson");
                head.framing = http::Framing::chunked;
                exchange.begin(std::move(head));
            }
            const std::string line = "{\"piece\":" + std::to_string(i) + "}\n";
            const std::array views{std::string_view(line)};
            if (!co_await exchange.write(views)) {
                gone = true;
            }
        }
        exchange.on_client_gone(nullptr);
        steps_.erase(place);
        client_left = gone;
        --generating;
        if (!gone) {
            (void)co_await exchange.end();
        }
    }

    net::Loop& loop_;
    std::list<net::Event*> steps_{};
    http::Server server_;
};

} // namespace herd::test
