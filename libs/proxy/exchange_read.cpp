// The first phase: the body is kept for replay if it is small enough, else only its beginning is read.
#include "proxy/exchange.hpp"

#include <algorithm>
#include <utility>

namespace herd::proxy {
namespace {

/// How much of a body too long to be kept is read in search of the model.
constexpr std::size_t long_body_peek = base::mib;

} // namespace

/// The usual case: the body came with its head, and is not long. False: read() goes on from here.
bool Exchange::read_at_once()
{
    const auto& head = client_.head();
    if (head.framing == http::Framing::none) {
        return true;
    }
    if (head.framing != http::Framing::length || head.content_length > options_->max_body
        || head.content_length > options_->replay_body || route_.handling == Handling::blob) {
        return false;
    }
    for (;;) { // to the empty piece at the end: it lets go of the buffer and starts the watch over the client
        const auto pieces = client_.try_read_body();
        if (!pieces || !*pieces) {
            return false;
        }
        if ((*pieces)->empty()) {
            peek();
            return true;
        }
        for (const auto piece : **pieces) {
            body_.append(piece);
            if (!kept_.grow(piece.size()) && !client_.body_complete()) {
                return false;
            }
        }
    }
}

net::Task<bool> Exchange::read()
{
    const auto& head = client_.head();
    if (head.framing == http::Framing::none) {
        co_return true;
    }
    if (route_.handling == Handling::blob) {
        streamed_ = true; // gigabytes, and nothing in them for us
        co_return true;
    }
    const bool sized = head.framing == http::Framing::length;
    if (sized && head.content_length > options_->max_body) {
        client_.close_after();
        co_await say(problem_of(base::Errc::too_large));
        co_return false;
    }
    const bool longer = sized && head.content_length > options_->replay_body;
    if (sized && !longer) {
        body_.reserve(std::min<std::size_t>(head.content_length, base::mib)); // a length is only a promise
    }
    auto filled = co_await fill(longer ? std::min<std::size_t>(long_body_peek, options_->replay_body)
                                       : options_->replay_body);
    if (filled) {
        peek();
        if (streamed_ && peek_.model_or_name().empty() && body_.size() < options_->replay_body) {
            filled = co_await fill(options_->replay_body);
            peek_ = {};
            peek();
        }
    }
    if (filled) {
        co_return true;
    }
    if (client_.client_gone() || filled.error().code == base::Errc::closed
        || filled.error().code == base::Errc::reset) {
        co_await leave(Stage::reading);
        co_return false;
    }
    auto problem = problem_of(filled.error());
    if (filled.error().code == base::Errc::timed_out) {
        problem = {408, "timed_out", "the request body did not arrive in time"};
    }
    client_.close_after();
    co_await say(std::move(problem), filled.error().code == base::Errc::timed_out ? 'T' : 'C');
    co_return false;
}

net::Task<base::Result<void>> Exchange::fill(std::size_t limit)
{
    streamed_ = false;
    for (;;) { // to the empty piece at the end: it lets go of the buffer and starts the watch over the client
        auto pieces = co_await client_.read_body();
        if (!pieces) {
            co_return std::unexpected(std::move(pieces.error()));
        }
        if (pieces->empty()) {
            break;
        }
        std::size_t bytes = 0;
        for (const auto piece : *pieces) {
            body_.append(piece);
            bytes += piece.size();
        }
        if (body_.size() > options_->max_body) {
            co_return base::fail(base::Errc::too_large, "request body too large", base::Source::client);
        }
        const bool kept = kept_.grow(bytes);
        if ((!kept || body_.size() > limit) && !client_.body_complete()) {
            streamed_ = true;
            break;
        }
    }
    co_return base::Result<void>{};
}

void Exchange::peek()
{
    const bool as_it_came = route_.dialect == Dialect::ollama || !client_.head().fields.find("Content-Encoding");
    if (!route_.multipart && as_it_came) { // under /api Ollama does not ask for an encoding
        peek_json(body_, peek_);
    }
}

} // namespace herd::proxy
