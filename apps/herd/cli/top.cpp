#include "herd/cli/top.hpp"

#include "herd/cli/print.hpp"
#include "herd/cli/screen.hpp"
#include "herd/cli/top_frame.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::app {

namespace {

constexpr std::chrono::seconds every{1};
constexpr std::chrono::seconds patience{2};

/// Whether the terminal shows more than ASCII.
bool speaks_unicode()
{
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name); // locale names have been read this way since locales exist
        if (value != nullptr && *value != '\0') {
            const std::string locale{value};
            return locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos
                || locale.find("utf-8") != std::string::npos;
        }
    }
    return false;
}

/// The body of a good answer; empty with `trouble` set otherwise. What this herd does not offer is no trouble.
std::string fetch(const cli::Server& server, const std::string& path, bool optional, std::string& trouble)
{
    if (!trouble.empty()) {
        return {};
    }
    auto answer = cli::ask(server, "GET", path, {}, patience);
    if (!answer) {
        const bool slow = answer.error().code == base::Errc::timed_out;
        trouble = slow ? server.url.text() + " does not answer in time" : "no herd answers at " + server.url.text();
        return {};
    }
    if (answer->status != 200) {
        if (!optional) {
            const std::string said = error_of(answer->body);
            trouble = said.empty() ? fmt::format("what answers at {} is not a herd (status {})", server.url.text(), answer->status) : said;
        }
        return {};
    }
    return std::move(answer->body);
}

/// Old news with new trouble is better than nothing: the last picture stays.
void refresh(const cli::Server& server, TopNews& news)
{
    TopNews fresh;
    fresh.status = fetch(server, "/herd/v1/status", false, fresh.trouble);
    fresh.nodes = fetch(server, "/herd/v1/nodes", false, fresh.trouble);
    fresh.running = fetch(server, "/herd/v1/requests?status=in_flight&limit=50", true, fresh.trouble);
    fresh.ended = fetch(server, "/herd/v1/requests?limit=50", true, fresh.trouble);
    if (fresh.trouble.empty()) {
        news = std::move(fresh);
    } else {
        news.trouble = std::move(fresh.trouble);
    }
}

std::size_t scrolled(std::size_t now, Key key, std::size_t most, std::size_t page)
{
    switch (key) {
    case Key::up: return now > 0 ? now - 1 : 0;
    case Key::down: return std::min(now + 1, most);
    case Key::page_up: return now > page ? now - page : 0;
    case Key::page_down: return std::min(now + page, most);
    case Key::home: return 0;
    case Key::end: return most;
    default: return std::min(now, most);
    }
}

int watch(const cli::Server& server, TopNews news, const base::Clock& clock, bool colours)
{
    Screen screen;
    TopShape shape{.colours = colours, .unicode = speaks_unicode()};
    base::Instant next = clock.now() + every;
    for (;;) {
        const Screen::Size size = screen.size();
        shape.columns = size.columns;
        shape.lines = size.lines;
        const TopFrame frame = top_frame(news, shape, server.url.text(), clock.wall());
        screen.draw(frame.lines);
        const Key key = screen.wait(std::max(base::Duration{}, next - clock.now()));
        if (key == Key::quit) {
            return 0;
        }
        if (key == Key::pause) {
            shape.paused = !shape.paused;
        }
        shape.scroll = scrolled(shape.scroll, key, frame.scroll_max, static_cast<std::size_t>(std::max(1, size.lines / 2)));
        if (clock.now() >= next) {
            if (!shape.paused) {
                refresh(server, news);
            }
            next = clock.now() + every;
        }
    }
}

/// Each answer under the name of what was asked; null: this herd does not offer it.
void print_answers(const TopNews& news, const cli::Terminal& terminal)
{
    const auto member = [&](std::string_view name, const std::string& body) {
        terminal.out << '"' << name << "\":" << (body.empty() ? "null" : body);
    };
    terminal.out << '{';
    member("status", news.status);
    terminal.out << ',';
    member("nodes", news.nodes);
    terminal.out << ',';
    member("in_flight", news.running);
    terminal.out << ',';
    member("requests", news.ended);
    terminal.out << "}\n";
}

} // namespace

int run_top(const cli::Server& server, const cli::Terminal& terminal, const base::Clock& clock, bool json)
{
    TopNews news;
    refresh(server, news);
    if (!news.trouble.empty()) {
        terminal.err << "herd: " << news.trouble << '\n';
        return 1;
    }
    if (json) {
        print_answers(news, terminal);
        return 0;
    }
    if (::isatty(STDOUT_FILENO) == 1 && ::isatty(STDIN_FILENO) == 1) {
        return watch(server, std::move(news), clock, terminal.colours);
    }
    const TopShape shape{.columns = 160, .unicode = speaks_unicode()};
    for (const std::string& line : top_frame(news, shape, server.url.text(), clock.wall()).lines) {
        terminal.out << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
    }
    return 0;
}

} // namespace herd::app
