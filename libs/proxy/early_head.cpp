#include "proxy/early_head.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {

EarlyHead::EarlyHead(http::ServerExchange& client, std::function<http::ResponseHead()> head,
                     std::function<net::Task<std::string>()> words)
    : client_(client), head_(std::move(head)), words_(std::move(words)), timer_(client.loop()),
      tasks_(client.loop(), "early_head")
{
}

void EarlyHead::start(base::Instant when)
{
    timer_.call_at(when, [this] { tasks_.spawn("beat", beat()); });
}

net::Task<void> EarlyHead::stop()
{
    stopped_ = true;
    timer_.cancel();
    co_await tasks_.join(); // a comment that is being written is written to its end
}

net::Task<void> EarlyHead::beat()
{
    const auto text = comment(co_await words_());
    if (stopped_ || client_.client_gone()) {
        co_return;
    }
    if (!client_.begun()) {
        client_.begin(head_());
    }
    const std::array pieces{std::string_view(text)};
    const auto said = co_await client_.write(pieces);
    if (said && !stopped_) {
        start(client_.loop().now() + heartbeat);
    }
}

std::string EarlyHead::comment(std::string_view words)
{
    std::string text = ": ";
    text.append(words);
    std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return text.append("\n\n");
}

std::string ordinal(int number)
{
    const int last_two = number % 100;
    const bool teens = last_two >= 11 && last_two <= 13;
    const std::string_view ending = teens             ? "th"
                                    : number % 10 == 1 ? "st"
                                    : number % 10 == 2 ? "nd"
                                    : number % 10 == 3 ? "rd"
                                                       : "th";
    return std::to_string(number).append(ending);
}

} // namespace herd::proxy
