#include "answer_reader.hpp"
#include "load.hpp"
#include "posix.hpp"
#include "wire.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::bench {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t patience_ns = 10 * second_ns;
constexpr std::uint32_t margin_seconds = 4; // how long opening all streams may take before the window suffers

struct Reader {
    int fd{-1};
    Ask ask;
    std::uint32_t sequence{0};
    bool asked{false};
    AnswerReader answer;
    std::string lines; // received, but not yet a whole line
};

class Streams {
public:
    explicit Streams(const LoadOptions& options)
        : options_(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)), readers_(options.connections)
    {
        const std::uint32_t whole_ms = options.warmup_ms + 1000 * (options.seconds + margin_seconds);
        const std::uint32_t chunks = std::max<std::uint32_t>(2, options.rate * whole_ms / 1000);
        for (std::uint32_t i = 0; i < readers_.size(); ++i) {
            readers_[i].ask = {i + 1, options.rate, chunks};
        }
    }

    void run()
    {
        rss_before_ = rss_bytes(options_.pid);
        // A little more than one second for all, so that their chunks do not fall on the same moments.
        const std::uint64_t spacing = second_ns * 21 / 20 / readers_.size();
        std::uint64_t next_open = now_ns();
        last_event_ = next_open;
        std::array<::epoll_event, 256> events{};
        while (finished_ < readers_.size()) {
            std::uint64_t now = now_ns();
            while (opened_ < readers_.size() && now >= next_open) {
                open(opened_++);
                next_open += spacing;
            }
            const bool opening = opened_ < readers_.size();
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), opening ? 1 : 20);
            for (int i = 0; i < count; ++i) {
                const auto& event = events[static_cast<std::size_t>(i)];
                serve(event.data.u64, event.events);
            }
            now = now_ns();
            if (count > 0) {
                last_event_ = now;
            } else if (now - last_event_ > patience_ns) {
                refuse("nothing received for 10 seconds");
            }
            move_window(now);
        }
        report();
    }

private:
    enum class Phase : std::uint8_t { opening, warming, measuring, ending };

    void move_window(std::uint64_t now)
    {
        if (phase_ == Phase::opening && begun_ == readers_.size()) {
            phase_ = Phase::warming;
            phase_ends_ = now + options_.warmup_ms * 1'000'000ULL;
        } else if (phase_ == Phase::warming && now >= phase_ends_) {
            phase_ = Phase::measuring;
            phase_ends_ = now + options_.seconds * second_ns;
            window_.begin(options_.pid);
        } else if (phase_ == Phase::measuring && now >= phase_ends_) {
            window_.end(options_.pid);
            phase_ = Phase::ending;
            rss_during_ = rss_bytes(options_.pid);
            if (finished_ > 0) {
                refuse("streams ended inside the window: opening them took too long");
            }
        }
    }

    void open(std::size_t index)
    {
        Reader& reader = readers_[index];
        reader.fd = start_connect(options_.target);
        if (reader.fd < 0) {
            refuse("cannot connect", std::strerror(errno));
        }
        ::epoll_event event{};
        event.events = EPOLLOUT;
        event.data.u64 = index;
        (void)::epoll_ctl(epoll_, EPOLL_CTL_ADD, reader.fd, &event);
    }

    void serve(std::size_t index, std::uint32_t events)
    {
        Reader& reader = readers_[index];
        if (!reader.asked && (events & EPOLLOUT) != 0) {
            reader.asked = true;
            ::epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = index;
            (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, reader.fd, &event);
            const auto bytes = request(reader.ask, options_.host);
            if (::send(reader.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
                refuse("cannot send a request", std::strerror(errno));
            }
            return;
        }
        const auto n = ::recv(reader.fd, buffer_.data(), buffer_.size(), 0);
        const auto now = now_ns();
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            refuse("a stream was cut by the target", n < 0 ? std::strerror(errno) : "orderly");
        }
        std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
        const auto state = reader.answer.feed(bytes, reader.lines);
        if (state == AnswerReader::State::bad) {
            refuse("corrupted answer", reader.answer.error());
        }
        take_lines(reader, now);
        if (state == AnswerReader::State::complete) {
            finish(reader, bytes);
        }
    }

    void take_lines(Reader& reader, std::uint64_t now)
    {
        std::size_t from = 0;
        for (std::size_t end = 0; (end = reader.lines.find('\n', from)) != std::string::npos; from = end + 1) {
            const auto line = std::string_view(reader.lines).substr(from, end + 1 - from);
            const auto stamp = check_line(line, reader.ask, reader.sequence);
            if (!stamp) {
                refuse("corrupted chunk", line);
            }
            if (reader.sequence++ == 0) {
                ++begun_;
            }
            if (phase_ == Phase::measuring) {
                chunk_.add(now > *stamp ? now - *stamp : 0);
            }
        }
        reader.lines.erase(0, from);
    }

    void finish(Reader& reader, std::string_view left_over)
    {
        if (!left_over.empty() || !reader.lines.empty() || reader.sequence != reader.ask.chunks) {
            refuse("a stream ended in the wrong place", reader.lines);
        }
        (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, reader.fd, nullptr);
        ::close(reader.fd);
        ++finished_;
    }

    void report()
    {
        const auto chunks = chunk_.count();
        if (phase_ != Phase::ending || chunks == 0) {
            refuse("the streams ended before the window did");
        }
        std::printf("{\"streams\": %zu, \"chunks\": %zu, \"per_second\": %.1f, \"cpu_us\": %.3f, \"p50_us\": %.2f, "
                    "\"p99_us\": %.2f, \"rss_before\": %lld, \"rss_during\": %lld, \"rss_per_stream\": %.1f}\n",
                    readers_.size(), chunks, static_cast<double>(chunks) / window_.seconds(), window_.cpu_us(chunks),
                    chunk_.us(0.5), chunk_.us(0.99), static_cast<long long>(rss_before_),
                    static_cast<long long>(rss_during_),
                    static_cast<double>(rss_during_ - rss_before_) / static_cast<double>(readers_.size()));
    }

    LoadOptions options_;
    int epoll_;
    std::vector<Reader> readers_;
    std::size_t opened_{0};
    std::size_t begun_{0};
    std::size_t finished_{0};
    Phase phase_{Phase::opening};
    std::uint64_t phase_ends_{0};
    std::uint64_t last_event_{0};
    std::int64_t rss_before_{-1};
    std::int64_t rss_during_{-1};
    Window window_;
    Latencies chunk_;
    std::array<char, 64 * 1024> buffer_{};
};

} // namespace

void run_streams(const LoadOptions& options) { Streams(options).run(); }

} // namespace herd::bench
