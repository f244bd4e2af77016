#include "herd-node/media/tool_desk.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "herd-node/agent_api.hpp"
#include "net/blocking.hpp"
#include "proxy/dialect/dialect.hpp"
#include "proxy/failover.hpp"
#include "proxy/kept_bytes.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace herd::node {

namespace {

constexpr std::size_t line_bytes_max = 300;
constexpr std::uint64_t unread_bytes_max = 256 * base::mib; // then no tool makes more
constexpr base::Duration reading_time_max = std::chrono::minutes{10}; // of one answer, however it trickles

/// What a tool said last, fit to be shown.
std::string last_line(std::string_view text)
{
    text = base::trim(text);
    std::string line(base::cut_text(text.substr(text.find_last_of("\r\n") + 1), line_bytes_max));
    std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return line;
}

proxy::Problem busy() { return {429, "busy", "too many requests wait for this tool", std::chrono::seconds{5}}; }

ToolAnswer refusal(proxy::Dialect dialect, const proxy::Problem& problem, const http::Fields& fields = {})
{
    auto text = proxy::error_text(dialect, problem);
    auto head = answer_head(problem.status, text.content_type);
    for (const auto& field : fields) {
        head.fields.add(field.name, field.value);
    }
    if (const int seconds = proxy::retry_after_seconds(problem.retry_after); seconds > 0) {
        head.fields.add("Retry-After", std::to_string(seconds));
    }
    return {std::move(head), std::move(text.body)};
}

/// Not served, and not for a fault of the tool. Nothing: nobody is there to be told.
std::optional<ToolAnswer> over_answer(const ToolJob& job, const ToolUse& use)
{
    http::Fields fields;
    if (use.stopping) {
        fields.add(proxy::gateway_field, proxy::gateway_untouched);
        return refusal(job.dialect, {503, "unavailable", "this node is being shut down"}, fields);
    }
    if (!use.late || use.gone) {
        return std::nullopt;
    }
    fields.add(proxy::gateway_field, proxy::gateway_late);
    const auto seconds = std::chrono::duration<double>(job.timeout).count();
    return refusal(job.dialect, {504, "timed_out", fmt::format("{} made no {} within {:g} s", job.name, job.what, seconds)}, fields);
}

} // namespace

ToolDesk::ToolDesk(net::Loop& loop, Mark mark, Taken taken) : loop_(loop), mark_(std::move(mark)), taken_(std::move(taken)) {}
ToolDesk::~ToolDesk() = default;

net::Blocking& ToolDesk::worker()
{
    if (!worker_) {
        worker_ = std::make_unique<net::Blocking>("media", 256);
    }
    return *worker_;
}

bool ToolDesk::is_full(const std::string& key) const
{
    const auto line = lines_.find(key);
    return line != lines_.end() && line->second.full();
}

void ToolDesk::stop()
{
    stopping_ = true;
    for (auto& [key, line] : lines_) {
        line.stop();
    }
}

net::Task<void> ToolDesk::serve(http::ServerExchange& exchange, const ToolJob& job, const Work& work)
{
    if (auto answer = co_await answer_of(exchange, job, work)) {
        co_await say(exchange, std::move(*answer));
    }
}

/// Waits for the tool and has it for as long as it works. Nothing: the client left.
net::Task<std::optional<ToolAnswer>> ToolDesk::answer_of(http::ServerExchange& exchange, const ToolJob& job, const Work& work)
{
    auto& line = lines_[job.key];
    if (line.full()) {
        co_return refusal(job.dialect, busy());
    }
    ToolUse use(loop_);
    use.stopping = stopping_;
    const ToolLine::Place place(line, use);
    exchange.on_client_gone([&use] {
        use.gone = true;
        use.end();
    });
    use.timer.call_after(job.timeout, [&use] {
        use.late = true;
        use.end();
    });
    while (!place.is_first() && !use.over()) {
        co_await use.wake.wait();
    }
    std::optional<ToolAnswer> answer;
    if (unread_ > unread_bytes_max) { // nobody keeps the tool from others by not reading; so what it made has to be bounded here
        answer = refusal(job.dialect, busy());
    } else if (!use.over()) {
        answer = co_await work(use);
    }
    exchange.on_client_gone(nullptr);
    co_return use.over() ? over_answer(job, use) : std::move(answer);
}

net::Task<base::Result<net::ChildEnd>> ToolDesk::run(ToolUse& use, net::ChildOptions options)
{
    if (use.over()) {
        co_return net::ChildEnd{};
    }
    auto child = net::Child::start(loop_, std::move(options));
    if (!child) {
        co_return std::unexpected(child.error());
    }
    use.child = child->get();
    auto end = co_await (*child)->ended();
    use.child = nullptr;
    co_return end;
}

net::Task<void> ToolDesk::say(http::ServerExchange& exchange, ToolAnswer answer)
{
    proxy::KeptBytes unread(unread_, std::numeric_limits<std::uint64_t>::max());
    (void)unread.grow(answer.body.size());
    net::Timer timer(loop_);
    timer.call_after(reading_time_max, [&exchange] { exchange.kill(); });
    mark_(exchange.head(), answer.head.fields);
    (void)co_await exchange.respond(std::move(answer.head), answer.body);
}

net::Task<void> ToolDesk::refuse(http::ServerExchange& exchange, proxy::Dialect dialect, proxy::Problem problem)
{
    co_await say(exchange, refusal(dialect, problem));
}

net::Task<void> ToolDesk::refuse_unread(http::ServerExchange& exchange, proxy::Dialect dialect, const base::Error& error)
{
    exchange.close_after();
    switch (error.code) {
    case base::Errc::too_large: co_return co_await refuse(exchange, dialect, proxy::problem_of(error.code));
    case base::Errc::queue_full: co_return co_await refuse(exchange, dialect, busy());
    case base::Errc::timed_out: co_return co_await refuse(exchange, dialect, {408, "timed_out", "the request body did not arrive in time"});
    default: co_await refuse(exchange, dialect, proxy::bad_request(error.message()));
    }
}

ToolAnswer ToolDesk::failed(const ToolJob& job, std::string why, std::string_view printed)
{
    log::warn("media", "tool_failed", {{"model", job.name}, {"why", why}}); // what it printed may repeat what it was asked
    if (const auto said = last_line(printed); !said.empty()) {
        why += ": " + said;
    }
    return refusal(job.dialect, {502, "node_failed", fmt::format("{} failed: {}", job.name, why)});
}

} // namespace herd::node
