#pragma once
// One simulated Ollama: its routes over its store and its machine.
#include "faults.hpp"
#include "http/server.hpp"
#include "machine.hpp"
#include "request.hpp"
#include "speaker.hpp"
#include "store.hpp"

#include <deque>

namespace herd::sim {

struct Seen {
    std::string method{}, path{}, model{}, request_id{}, host{}, origin{}, via{};
    int status{0};
};

class Box {
public:
    Box(net::Loop& loop, Options options);
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange);

private:
    friend struct Generation;
    using Exchange = http::ServerExchange;
    net::Task<void> route(Exchange& exchange, std::string path);
    net::Task<void> with_body(Exchange& exchange, std::string path);
    net::Task<void> infer(Exchange& exchange, std::string path, Json body);
    net::Task<void> embed(Exchange& exchange, std::string path, Json body);
    net::Task<void> show(Exchange& exchange, Json body);
    net::Task<void> pull(Exchange& exchange, Json body);
    net::Task<void> create(Exchange& exchange, Json body);
    net::Task<void> copy(Exchange& exchange, Json body);
    net::Task<void> remove(Exchange& exchange, Json body);
    net::Task<void> blob(Exchange& exchange, std::string digest);
    net::Task<void> control(Exchange& exchange, std::string path);
    net::Task<void> slots(Exchange& exchange);
    [[nodiscard]] std::string tags() const;
    [[nodiscard]] std::string ps() const;
    [[nodiscard]] std::string openai_models() const;
    [[nodiscard]] std::string state() const;

    net::Task<void> reply(Exchange& exchange, int status, std::string body,
                          std::string_view type = "application/json; charset=utf-8");
    net::Task<void> fail(Exchange& exchange, std::string path, int status, std::string message);
    /// NDJSON progress; `made` enters the store with the last line.
    net::Task<void> lines(Exchange& exchange, std::vector<Json> all, bool stream, base::Duration spacing,
                          std::optional<StoredModel> made = std::nullopt);
    [[nodiscard]] bool allowed(Exchange& exchange) const;
    [[nodiscard]] bool answers_options(Exchange& exchange) const;

    net::Loop& loop_;
    Options options_;
    Store store_;
    Machine machine_;
    Faults faults_;
    std::deque<Seen> seen_; ///< the last 256 requests
    std::uint64_t counter_{0};
};

} // namespace herd::sim
