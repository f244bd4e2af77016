#include "herd/cli/screen.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <string_view>

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace herd::app {

namespace {

volatile std::sig_atomic_t resized = 0; // set by signal handlers, which may do nothing else
volatile std::sig_atomic_t ended = 0;

void on_resize(int) { resized = 1; }
void on_end(int) { ended = 1; }

void handle(int signal, void (*handler)(int))
{
    struct sigaction action {};
    action.sa_handler = handler; // without SA_RESTART: poll() is to return
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
}

void write_all(std::string_view text)
{
    while (!text.empty()) {
        const auto n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n <= 0) {
            if (n < 0 && errno == EINTR) {
                continue;
            }
            return; // the terminal is gone; the next read says so
        }
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace

Screen::Screen()
{
    if (::tcgetattr(STDIN_FILENO, &before_) == 0) {
        ::termios raw = before_;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        raw_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    handle(SIGWINCH, on_resize);
    handle(SIGTERM, on_end);
    handle(SIGINT, on_end);
    handle(SIGHUP, on_end);
    write_all("\x1b[?1049h\x1b[?25l\x1b[2J"); // alternate screen, no cursor, empty
}

Screen::~Screen()
{
    write_all("\x1b[0m\x1b[?25h\x1b[?1049l");
    if (raw_) {
        ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    for (const int signal : {SIGWINCH, SIGTERM, SIGINT, SIGHUP}) {
        handle(signal, SIG_DFL);
    }
}

std::size_t output_columns()
{
    ::winsize window{};
    return ::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

Screen::Size Screen::size() const
{
    ::winsize window{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
        return {window.ws_col, window.ws_row};
    }
    return {};
}

void Screen::draw(const std::vector<std::string>& lines)
{
    const Size now = size();
    std::string out = "\x1b[?2026h"; // terminals that know it show all of this at once
    if (now.columns != drawn_size_.columns || now.lines != drawn_size_.lines) {
        out += "\x1b[2J";
        drawn_.clear();
        drawn_size_ = now;
    }
    const std::size_t rows = std::min(lines.size(), static_cast<std::size_t>(now.lines));
    for (std::size_t i = 0; i < rows; ++i) {
        if (i >= drawn_.size() || drawn_[i] != lines[i]) {
            out.append("\x1b[").append(std::to_string(i + 1)).append(";1H").append(lines[i]).append("\x1b[0m\x1b[K");
        }
    }
    for (std::size_t i = rows; i < drawn_.size(); ++i) {
        out.append("\x1b[").append(std::to_string(i + 1)).append(";1H\x1b[K");
    }
    out += "\x1b[?2026l";
    write_all(out);
    drawn_.assign(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(rows));
}

Key Screen::wait(base::Duration patience)
{
    if (ended != 0) {
        return Key::quit;
    }
    ::pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&input, 1, static_cast<int>(std::max<std::int64_t>(0, base::milliseconds(patience))));
    if (ended != 0) {
        return Key::quit;
    }
    if (resized != 0) {
        resized = 0;
        return Key::resized;
    }
    return ready > 0 ? read_key() : Key::none;
}

Key Screen::read_key()
{
    std::array<char, 16> bytes{};
    const auto n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n == 0) {
        return Key::quit; // the terminal was closed: poll() said that there is something
    }
    const std::string_view typed{bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
    struct Named {
        std::string_view bytes;
        Key key;
    };
    static constexpr std::array<Named, 19> names{{{"q", Key::quit},          {"Q", Key::quit},         {"\x03", Key::quit},
                                                  {"\x04", Key::quit},       {"\x1b", Key::quit},      {"\x1b[A", Key::up},
                                                  {"\x1bOA", Key::up},       {"k", Key::up},           {"\x1b[B", Key::down},
                                                  {"\x1bOB", Key::down},     {"j", Key::down},         {"\x1b[5~", Key::page_up},
                                                  {"\x1b[6~", Key::page_down}, {"\x1b[H", Key::home},  {"g", Key::home},
                                                  {"\x1b[F", Key::end},      {"G", Key::end},          {"p", Key::pause},
                                                  {" ", Key::pause}}};
    const auto found = std::ranges::find(names, typed, &Named::bytes);
    return found == names.end() ? Key::none : found->key;
}

} // namespace herd::app
