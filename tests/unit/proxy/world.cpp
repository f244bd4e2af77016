#include "world.hpp"

#include "fleet/model_name.hpp"

#include "base/text.hpp"

#include <array>
#include <charconv>

namespace herd::proxy::testing {

Step send(std::string bytes) { return {Step::Kind::send, std::move(bytes), {}}; }
Step chunk(std::string_view payload)
{
    std::array<char, 20> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), payload.size(), 16).ptr;
    return send(std::string(size.data(), end) + "\r\n" + std::string(payload) + "\r\n");
}
Step pause(base::Duration delay) { return {Step::Kind::pause, {}, delay}; }
Step close() { return {Step::Kind::close, {}, {}}; }
Step reset() { return {Step::Kind::reset, {}, {}}; }
Step hang() { return {Step::Kind::hang, {}, {}}; }
Step opening(std::string_view type, int status)
{
    return send("HTTP/1.1 " + std::to_string(status) + " OK\r\nContent-Type: " + std::string(type)
                + "\r\nTransfer-Encoding: chunked\r\n\r\n");
}
Step end_of_chunks() { return send("0\r\n\r\n"); }

Script answer(int status, std::string_view body, std::string_view type)
{
    return {send("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + std::string(type)
                 + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body))};
}

// ---- a node ----------------------------------------------------------------------------------------------

Node::Node(net::Loop& loop, herd::testing::MemoryWorld& world, std::string own_name, std::uint8_t number)
    : name(std::move(own_name)), endpoint{base::IpAddress::v4({10, 0, 0, number}), 11434}, loop_(loop),
      network_(world.host(endpoint.address)), tasks_(loop, "node")
{
    id.bytes[15] = number;
    id.bytes[6] = 0x40;
    id.bytes[8] = 0x80;
    listener_ = std::move(*network_->listen(herd::testing::memory_socket(endpoint)));
    tasks_.spawn("accept", accept());
}

void Node::stop()
{
    listener_->close();
    for (auto* stream : streams_) {
        stream->close();
    }
    tasks_.cancel();
}

net::Task<void> Node::accept()
{
    for (;;) {
        auto stream = co_await listener_->accept();
        if (!stream) {
            co_return;
        }
        ++connections;
        tasks_.spawn("serve", serve(std::move(*stream)));
    }
}

net::Task<void> Node::serve(std::unique_ptr<net::Stream> stream)
{
    streams_.insert(stream.get());
    std::string input;
    std::array<char, 16384> space{};
    for (bool open = true; open;) {
        Seen one;
        std::size_t need = 0;
        for (;;) { // a request: head, then as many bytes as it says
            const auto end = input.find("\r\n\r\n");
            if (end != input.npos && one.head.empty()) {
                one.head = input.substr(0, end + 4);
                const auto length = field_of(one.head, "Content-Length");
                need = reads_bodies && !length.empty() ? base::parse_unsigned(length).value_or(0) : 0;
                input.erase(0, end + 4);
            }
            if (!one.head.empty() && input.size() >= need) {
                break;
            }
            const auto got = co_await net::read_some(*stream, space);
            if (!got || *got == 0) {
                ++closed_by_peer;
                streams_.erase(stream.get());
                co_return;
            }
            input.append(space.data(), *got);
        }
        one.body = input.substr(0, need);
        input.erase(0, need);
        const auto script = answers ? answers(one) : scripts.empty() ? answer(200, "{}") : scripts.front();
        seen.push_back(std::move(one));
        if (scripts.size() > 1) {
            scripts.erase(scripts.begin());
        }
        open = co_await follow(*stream, script);
    }
    streams_.erase(stream.get());
}

net::Task<bool> Node::follow(net::Stream& stream, Script script)
{
    for (const auto& step : script) {
        switch (step.kind) {
        case Step::Kind::send: {
            const auto sent = co_await net::write_all(stream, step.bytes);
            if (!sent) {
                ++closed_by_peer;
                co_return false;
            }
            break;
        }
        case Step::Kind::pause: (void)co_await net::sleep_for(loop_, step.delay); break;
        case Step::Kind::close: stream.close(); co_return false;
        case Step::Kind::reset: stream.abort(); co_return false;
        case Step::Kind::hang: {
            std::array<char, 64> space{};
            const auto got = co_await net::read_some(stream, space);
            if (!got || *got == 0) {
                ++closed_by_peer;
            }
            co_return false;
        }
        }
    }
    co_return true;
}

// ---- the scheduler ---------------------------------------------------------------------------------------

std::optional<std::expected<fleet::Lease, fleet::Refusal>> BookKeeper::choose(const fleet::Profile& profile)
{
    if (refusal) {
        return std::unexpected(*refusal);
    }
    if (static_cast<int>(out.size()) >= slots) {
        return std::nullopt;
    }
    for (const auto& node : nodes_) {
        const bool pinned = profile.node.empty() || profile.node == node->name || profile.node == node->id.text();
        if (!pinned || std::ranges::find(profile.exclude, node->id) != profile.exclude.end()) {
            continue;
        }
        fleet::Lease lease;
        lease.id = ++last_lease_;
        lease.node = node->id;
        lease.node_name = node->name;
        lease.address.endpoint = node->endpoint;
        lease.address.proof = node->proof;
        lease.num_ctx = num_ctx;
        lease.tool = tool;
        if (!instead.empty()) {
            lease.instead = {fleet::ModelName::parse(instead).key, instead};
        }
        out[lease.id] = node->name;
        return lease;
    }
    return std::unexpected(fleet::Refusal{{base::Errc::attempts_failed}, {}});
}

net::Task<std::expected<fleet::Lease, fleet::Refusal>> BookKeeper::acquire(fleet::Ticket ticket, fleet::Profile profile)
{
    asked.push_back(profile);
    ++waiting;
    for (;;) {
        if (cancelled_.erase(ticket) > 0) {
            --waiting;
            co_return std::unexpected(fleet::Refusal{{base::Errc::cancelled}, {}});
        }
        if (auto chosen = choose(profile)) {
            --waiting;
            co_return std::move(*chosen);
        }
        if (loop_.now() >= profile.deadline) {
            --waiting;
            co_return std::unexpected(fleet::Refusal{{base::Errc::deadline_passed}, {}});
        }
        (void)co_await net::sleep_for(loop_, 5ms);
    }
}

void BookKeeper::cancel(fleet::Ticket ticket) { cancelled_.insert(ticket); }

void BookKeeper::finished(fleet::LeaseId lease, fleet::Outcome outcome)
{
    REQUIRE(out.erase(lease) == 1); // exactly once
    outcomes.push_back(std::move(outcome));
}

net::Task<std::shared_ptr<const fleet::Snapshot>> BookKeeper::fresh_snapshot() { co_return picture; }

net::Task<fleet::Decision> BookKeeper::explain(fleet::Profile profile)
{
    fleet::Decision decision;
    decision.model = profile.model;
    decision.prompt_tokens = static_cast<double>(profile.prompt_bytes) / 4;
    for (const auto& node : nodes_) {
        decision.candidates.push_back({.node = node->id, .name = node->name});
    }
    if (!nodes_.empty()) {
        decision.chosen = nodes_.front()->id;
    }
    asked.push_back(std::move(profile));
    co_return decision;
}

net::Task<std::optional<fleet::Standing>> BookKeeper::standing(fleet::Ticket /*ticket*/)
{
    co_return waiting > 0 ? stands : std::nullopt;
}

// ---- the world -------------------------------------------------------------------------------------------

World::World(std::size_t count, ProxyOptions options, herd::testing::StreamOptions stream)
{
    net.stream_options = stream;
    for (std::size_t i = 0; i < count; ++i) {
        nodes.push_back(std::make_unique<Node>(loop, net, std::string("n") + std::to_string(i + 1),
                                               static_cast<std::uint8_t>(i + 1)));
    }
    network = net.host(base::IpAddress::v4({10, 0, 0, 100}));
    pool = std::make_unique<http::Pool>(loop, *network, http::PoolOptions{});
    if (options.own_id.empty()) {
        options.own_id = "test";
    }
    proxy = std::make_unique<Proxy>(loop, books, *pool, std::make_shared<const ProxyOptions>(std::move(options)), shared,
                                    base::Rng(7), [this](const ExchangeRecord& record) { records.push_back(record); });
    server = std::make_unique<http::Server>(
        loop, http::ServerOptions{}, [this](http::ServerExchange& exchange) { return proxy->handle(exchange); },
        &error_answer);
    connect();
    publish({"m"});
}

World::~World()
{
    client.reset();
    settle(1s);
    for (const auto& one : nodes) {
        one->stop();
    }
    herd::testing::run(time, loop, server->drain(time.now() + 1s));
    settle(1s);
    CHECK(books.out.empty());
    CHECK(books.waiting == 0);
    CHECK(books.outcomes.size() <= books.asked.size());
    CHECK(shared->exchanges == 0);
    CHECK(shared->replay_bytes == 0);
    CHECK(server->connections() == 0);
}

void World::publish(const std::vector<std::string>& models, const std::vector<std::string>& loaded)
{
    auto picture = std::make_shared<fleet::Snapshot>();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        auto facts = std::make_shared<fleet::NodeFacts>();
        facts->ollama_version = "0.33.0";
        facts->host.memory_total = (100 - i) * base::gib;
        for (const auto& name : models) {
            const auto key = "registry.ollama.ai/library/" + name + ":latest";
            picture->models[key].push_back({i, facts->models.size(), false, 1, 0});
            facts->models.push_back({name + ":latest", key, std::string(64, 'a'), 10, "2026-11-20T14:14:38Z",
                                     "{\"name\":\"" + name + ":latest\",\"size\":10}"});
        }
        for (const auto& name : loaded) {
            facts->loaded.push_back({.name = name, .row = "{\"name\":\"" + name + "\"}"});
        }
        fleet::NodeView view;
        view.id = nodes[i]->id;
        view.name = nodes[i]->name;
        view.state = fleet::NodeState::online;
        view.address.endpoint = nodes[i]->endpoint;
        view.facts = std::move(facts);
        picture->nodes.push_back(std::move(view));
    }
    books.picture = std::move(picture);
}

void World::connect(herd::testing::StreamOptions stream)
{
    auto [a, b] = herd::testing::make_stream_pair(loop, stream);
    client = std::move(a);
    server->serve_stream(std::move(b));
    settle(0ms);
}

void World::type(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::array pieces{bytes};
        const auto io = client->try_write(pieces);
        if (!io.done()) {
            break;
        }
        bytes.remove_prefix(io.bytes);
        settle(0ms);
    }
}

std::string World::read()
{
    std::string all;
    std::array<char, 65536> space{};
    for (;;) {
        settle(0ms);
        const auto io = client->try_read(space);
        if (!io.done()) {
            return all + (io.would_block() ? "" : io.state == net::Io::State::end ? "<end>" : "<reset>");
        }
        all.append(space.data(), io.bytes);
    }
}

std::string World::ask(std::string_view bytes, base::Duration span)
{
    type(bytes);
    settle(span);
    return read();
}

std::string World::post(std::string_view path, std::string_view body, std::string_view fields, base::Duration span)
{
    std::string request = "POST ";
    request.append(path).append(" HTTP/1.1\r\nHost: herd\r\nContent-Type: application/json\r\n").append(fields);
    request.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    return ask(request, span);
}

std::string field_of(std::string_view answer, std::string_view name)
{
    const auto head = answer.substr(0, answer.find("\r\n\r\n"));
    std::size_t at = 0;
    while (at < head.size()) {
        const auto end = std::min(head.find("\r\n", at), head.size());
        const auto line = head.substr(at, end - at);
        const auto colon = line.find(':');
        if (colon != line.npos && base::iequals(line.substr(0, colon), name)) {
            return std::string(base::trim(line.substr(colon + 1)));
        }
        at = end + 2;
    }
    return {};
}

std::string body_of(std::string_view answer)
{
    const auto end = answer.find("\r\n\r\n");
    if (end == answer.npos) {
        return {};
    }
    auto rest = answer.substr(end + 4);
    if (!base::iequals(field_of(answer, "Transfer-Encoding"), "chunked")) {
        return std::string(rest);
    }
    std::string body;
    while (!rest.empty()) {
        std::size_t size = 0;
        const auto line = rest.find("\r\n");
        if (line == rest.npos
            || std::from_chars(rest.data(), rest.data() + line, size, 16).ptr != rest.data() + line) {
            return body + "<broken>" + std::string(rest);
        }
        if (size == 0) {
            return body + std::string(rest.substr(line + 4));
        }
        if (rest.size() < line + 2 + size + 2) {
            return body + "<broken>";
        }
        body.append(rest.substr(line + 2, size));
        rest.remove_prefix(line + 2 + size + 2);
    }
    return body + "<open>";
}

bool starts(std::string_view answer, std::string_view status_line)
{
    return answer.starts_with("HTTP/1.1 " + std::string(status_line));
}

} // namespace herd::proxy::testing
