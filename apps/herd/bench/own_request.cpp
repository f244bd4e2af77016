#include "herd/bench/own_request.hpp"

#include "base/text.hpp"
#include "herd/health/history.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app::bench {

namespace {

constexpr std::size_t error_bytes_max = 1024;
constexpr std::size_t error_words_max = 300;

/// What an error's body says, whatever its dialect.
std::string words_of(std::string_view body)
{
    const auto json = nlohmann::json::parse(body, nullptr, false);
    const auto error = json.is_object() ? json.find("error") : json.end();
    if (!json.is_object() || error == json.end()) {
        return {};
    }
    const auto text = error->is_object() && error->contains("message") ? (*error)["message"] : *error;
    return text.is_string() ? std::string{base::cut_text(text.get_ref<const std::string&>(), error_words_max)} : std::string{};
}

} // namespace

OwnRequest::OwnRequest(net::Loop& loop, std::string id, Question question)
    : loop_(loop), id_(std::move(id)), peer_{.address = base::IpAddress::loopback(), .port = 0}, body_(std::move(question.body)), began_(loop.now())
{
    head_.method = "POST";
    head_.target = std::move(question.path);
    head_.framing = http::Framing::length;
    head_.content_length = body_.size();
    head_.fields.add("Host", "localhost");
    head_.fields.add("Content-Type", "application/json");
    head_.fields.add("User-Agent", "herd-benchmark");
    head_.fields.add("X-Herd-Tags", health::benchmark_tag);
    head_.fields.add("X-Request-Id", id_);
}

void OwnRequest::leave()
{
    left_ = true;
    go(gone_);
}

void OwnRequest::go(bool& how)
{
    how = true;
    if (auto work = std::exchange(on_gone_, nullptr)) {
        work();
    }
}

void OwnRequest::on_client_gone(net::Callback work)
{
    on_gone_ = std::move(work);
    if (on_gone_ && client_gone()) {
        std::exchange(on_gone_, nullptr)();
    }
}

std::span<const std::string_view> OwnRequest::next_pieces()
{
    if (read_++ > 0) {
        return {};
    }
    piece_[0] = body_;
    return piece_;
}

std::optional<base::Result<std::span<const std::string_view>>> OwnRequest::try_read_body() { return next_pieces(); }

net::Task<base::Result<std::span<const std::string_view>>> OwnRequest::read_body() { co_return next_pieces(); }

void OwnRequest::begin(http::ResponseHead head)
{
    status_ = head.status;
    const auto type = head.fields.find("Content-Type").value_or("");
    if (status_ == 200) {
        lines_a_token_ = type.starts_with("application/x-ndjson") ? 1 : type.starts_with("text/event-stream") ? 2 : 0;
    }
}

net::Task<base::Result<void>> OwnRequest::flush() { co_return base::Result<void>{}; }

base::Result<void> OwnRequest::hear_if_there(std::span<const std::string_view> pieces)
{
    if (gone_) {
        return base::fail(base::Errc::closed, "the benchmark left", base::Source::client);
    }
    hear(pieces);
    return {};
}

net::Task<base::Result<void>> OwnRequest::write(std::span<const std::string_view> pieces) { co_return hear_if_there(pieces); }

net::Task<base::Result<void>> OwnRequest::end(std::span<const std::string_view> pieces)
{
    (void)try_end(pieces);
    co_return gone_ ? hear_if_there({}) : base::Result<void>{};
}

bool OwnRequest::try_write(std::span<const std::string_view> pieces) { return hear_if_there(pieces).has_value(); }

bool OwnRequest::try_end(std::span<const std::string_view> pieces)
{
    ended_ = hear_if_there(pieces).has_value();
    on_gone_ = nullptr;
    return ended_;
}

void OwnRequest::hear(std::span<const std::string_view> pieces)
{
    const auto before = lines_;
    const auto had = heard_;
    for (const std::string_view piece : pieces) {
        heard_ += piece.size();
        if (status_ >= 400) {
            error_body_ += piece.substr(0, error_bytes_max - std::min(error_bytes_max, error_body_.size()));
        } else if (lines_a_token_ > 0) {
            lines_ += static_cast<std::uint64_t>(std::ranges::count(piece, '\n'));
        }
    }
    if (heard_ == had) {
        return;
    }
    if (!first_) {
        first_ = last_ = loop_.now();
    }
    if (lines_a_token_ > 0) {
        hear_tokens(before / lines_a_token_);
    }
}

/// Tokens that came together share the time since the one before; those that came with the first had none to wait for.
void OwnRequest::hear_tokens(std::uint64_t before)
{
    const auto fresh = lines_ / lines_a_token_ - before;
    if (fresh == 0) {
        return;
    }
    const auto now = loop_.now();
    const auto each = (now - last_) / static_cast<std::int64_t>(fresh);
    if (const auto gaps = before == 0 ? fresh - 1 : fresh; gaps > 0) {
        told_.gaps.add(milliseconds(each), static_cast<std::uint32_t>(gaps)); // (of some pieces of a buffer each)
    }
    last_ = now;
}

void OwnRequest::take(const proxy::ExchangeRecord& record)
{
    told_.node = record.node;
    told_.timings = record.timings;
    told_.error = record.error;
    termination_ = record.termination;
}

std::string OwnRequest::why_not() const
{
    if (!told_.error.empty()) {
        return told_.error;
    }
    if (auto words = words_of(error_body_); !words.empty()) {
        return words;
    }
    return status_ >= 400 ? fmt::format("the answer was {}", status_) : "the answer broke off";
}

Told OwnRequest::told()
{
    const auto now = loop_.now();
    told_.total = now - began_;
    told_.first = first_.value_or(now) - began_;
    told_.well = ended_ && status_ == 200 && termination_ == "--";
    told_.cut = left_ && !told_.well;
    told_.error = told_.well ? std::string{} : why_not();
    return std::move(told_);
}

} // namespace herd::app::bench
