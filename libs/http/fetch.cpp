#include "http/fetch.hpp"

#include "net/timer.hpp"

namespace herd::http {

namespace {

net::Task<base::Result<Answer>> exchange(ClientConnection& connection, const RequestHead& head, std::string_view body,
                                         std::size_t body_bytes_max)
{
    if (auto sent = co_await connection.send(head, body); !sent) {
        co_return std::unexpected(std::move(sent.error()));
    }
    auto answer_head = co_await connection.read_head();
    if (!answer_head) {
        co_return std::unexpected(std::move(answer_head.error()));
    }
    auto answer_body = co_await connection.read_all(body_bytes_max);
    if (!answer_body) {
        co_return std::unexpected(std::move(answer_body.error()));
    }
    co_return Answer{std::move(*answer_head), std::move(*answer_body), {}};
}

bool may_be_stale(base::Errc code)
{
    return code == base::Errc::closed || code == base::Errc::reset || code == base::Errc::io;
}

} // namespace

net::Task<base::Result<Answer>> fetch(net::Loop& loop, Pool& pool, base::Endpoint to, RequestHead head,
                                      std::string body, FetchOptions options)
{
    const auto started = loop.now();
    const auto deadline = started + options.timeout;
    head.framing = body.empty() && (head.method == "GET" || head.method == "HEAD") ? Framing::none : Framing::length;
    head.content_length = body.size();
    if (!head.fields.find("host")) {
        head.fields.add("Host", to.text());
    }
    for (bool fresh = options.fresh;; fresh = true) {
        auto taken = co_await pool.take(to, fresh, deadline, options.trust);
        if (!taken) {
            co_return std::unexpected(std::move(taken.error()));
        }
        ClientConnection& connection = *taken->connection;
        bool expired = false;
        net::Timer timer(loop);
        timer.call_at(deadline, [&] {
            expired = true;
            connection.close();
        });
        auto answer = co_await exchange(connection, head, body, options.body_bytes_max);
        timer.cancel();
        if (answer) {
            answer->took = loop.now() - started;
            pool.give_back(std::move(taken->connection));
            co_return answer;
        }
        if (expired) {
            co_return std::unexpected(
                base::Error{base::Errc::timed_out, base::Source::node, answer.error().retry, to.text(), {}});
        }
        if (!taken->reused || connection.answer_begun() || !may_be_stale(answer.error().code)) {
            co_return answer;
        }
    }
}

} // namespace herd::http
