#include "answer_reader.hpp"
#include "load.hpp"
#include "posix.hpp"
#include "wire.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace herd::bench {
namespace {

constexpr int patience_ms = 10'000;

struct Caller {
    int fd{-1};
    std::uint32_t id{0};
    std::uint64_t sent_ns{0};
    std::uint64_t first_ns{0};
    bool busy{false};
    AnswerReader reader;
    std::string body;
};

class Requests {
public:
    explicit Requests(const LoadOptions& options)
        : options_(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)), callers_(options.connections),
          ask_{0, options.rate, options.rate > 0 ? 1U : 0U}, request_(request(ask_, options.host)),
          expected_(small_body(0))
    {
        for (std::size_t i = 0; i < callers_.size(); ++i) {
            callers_[i].fd = start_connect(options_.target);
            if (callers_[i].fd < 0) {
                refuse("cannot connect", std::strerror(errno));
            }
            watch(i, EPOLL_CTL_ADD, EPOLLOUT);
        }
    }

    void run()
    {
        const std::uint64_t window_at = now_ns() + options_.warmup_ms * 1'000'000ULL;
        const std::uint64_t stop_at = window_at + options_.seconds * 1'000'000'000ULL;
        std::array<::epoll_event, 128> events{};
        std::uint64_t completed_before = 0;
        std::uint64_t completed_in_window = 0;
        while (!stopping_ || busy_ > 0) {
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), patience_ms);
            if (count == 0) {
                refuse("no answer for 10 seconds");
            }
            for (int i = 0; i < count; ++i) {
                const auto& event = events[static_cast<std::size_t>(i)];
                serve(callers_[event.data.u64], event.data.u64, event.events);
            }
            const auto now = now_ns();
            if (!measuring_ && !stopping_ && now >= window_at) {
                measuring_ = true;
                completed_before = completed_;
                window_.begin(options_.pid);
            } else if (measuring_ && now >= stop_at) {
                window_.end(options_.pid);
                completed_in_window = completed_ - completed_before;
                measuring_ = false;
                stopping_ = true;
            }
        }
        report(completed_in_window);
    }

private:
    void watch(std::size_t index, int operation, std::uint32_t interest)
    {
        ::epoll_event event{};
        event.events = interest;
        event.data.u64 = index;
        (void)::epoll_ctl(epoll_, operation, callers_[index].fd, &event);
    }

    void send_next(Caller& caller)
    {
        caller.id = ++ids_;
        caller.busy = true;
        caller.first_ns = 0;
        caller.body.clear();
        caller.reader.reset();
        set_request_id(request_, caller.id);
        ++busy_;
        caller.sent_ns = now_ns();
        const auto n = ::send(caller.fd, request_.data(), request_.size(), MSG_NOSIGNAL);
        if (n != static_cast<ssize_t>(request_.size())) {
            refuse("cannot send a request", n < 0 ? std::strerror(errno) : "socket full");
        }
    }

    void serve(Caller& caller, std::size_t index, std::uint32_t events)
    {
        if (caller.id == 0 && (events & EPOLLOUT) != 0) {
            watch(index, EPOLL_CTL_MOD, EPOLLIN);
            send_next(caller);
            return;
        }
        const auto n = ::recv(caller.fd, buffer_.data(), buffer_.size(), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            refuse("connection ended by the target", n < 0 ? std::strerror(errno) : "orderly");
        }
        const auto now = now_ns();
        if (caller.first_ns == 0) {
            caller.first_ns = now;
        }
        std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
        if (!caller.busy) {
            refuse("bytes that nobody asked for", bytes);
        }
        const auto state = caller.reader.feed(bytes, caller.body);
        if (state == AnswerReader::State::bad) {
            refuse("corrupted answer", caller.reader.error());
        }
        if (state == AnswerReader::State::complete) {
            finish(caller, bytes, now);
        }
    }

    void finish(Caller& caller, std::string_view left_over, std::uint64_t now)
    {
        if (!left_over.empty()) {
            refuse("bytes after the answer", left_over);
        }
        if (caller.reader.closing()) {
            refuse("the target does not keep connections alive");
        }
        if (options_.rate > 0) {
            if (!check_line(caller.body, {caller.id, ask_.rate, ask_.chunks}, 0)) {
                refuse("corrupted chunk", caller.body);
            }
        } else {
            set_small_body_id(expected_, caller.id);
            if (caller.body != expected_) {
                refuse("corrupted body", caller.body);
            }
        }
        if (measuring_) {
            first_.add(caller.first_ns - caller.sent_ns);
            whole_.add(now - caller.sent_ns);
        }
        ++completed_;
        --busy_;
        caller.busy = false;
        if (!stopping_) {
            send_next(caller);
        }
    }

    void report(std::uint64_t completed)
    {
        if (completed == 0) {
            refuse("no answer within the window");
        }
        std::printf("{\"requests\": %llu, \"per_second\": %.1f, \"cpu_us\": %.3f, \"first_p50_us\": %.2f, "
                    "\"first_p99_us\": %.2f, \"whole_p50_us\": %.2f, \"whole_p99_us\": %.2f, \"rss\": %lld}\n",
                    static_cast<unsigned long long>(completed), static_cast<double>(completed) / window_.seconds(),
                    window_.cpu_us(completed), first_.us(0.5), first_.us(0.99), whole_.us(0.5), whole_.us(0.99),
                    static_cast<long long>(rss_bytes(options_.pid)));
    }

    LoadOptions options_;
    int epoll_;
    std::vector<Caller> callers_;
    Ask ask_;
    std::string request_;
    std::string expected_;
    std::uint32_t ids_{0};
    std::uint64_t completed_{0};
    std::size_t busy_{0};
    bool measuring_{false};
    bool stopping_{false};
    Window window_;
    Latencies first_;
    Latencies whole_;
    std::array<char, 64 * 1024> buffer_{};
};

} // namespace

void run_requests(const LoadOptions& options) { Requests(options).run(); }

} // namespace herd::bench
