// A fake Ollama that costs next to nothing: one thread, plain epoll, answers prepared in advance, streams paced
// by a timer wheel. It answers what herd asks of a node (`/api/version`, `/api/tags`, `/api/ps`) and the asks of
// wire.hpp; each chunk carries the moment at which it was written.
//
//   bench_backend [--port N]        prints "backend listening on http://127.0.0.1:PORT"
#include "posix.hpp"
#include "wire.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <vector>

#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace herd::bench {
namespace {

constexpr std::size_t wheel_slots = 4096; // of a millisecond: longer than the longest pause of a stream (1 s)
constexpr std::size_t head_bytes_max = 32 * 1024;
constexpr std::size_t body_bytes_max = 1024 * 1024;

struct Connection {
    int fd{-1};
    std::uint64_t serial{0}; ///< descriptors are reused; an entry of the wheel names both
    std::string in;
    std::string out; ///< what the socket did not take at once
    std::optional<Ask> stream;
    std::uint32_t sequence{0};
    std::uint64_t next_due{0};
    bool wants_write{false};
};

struct Due {
    int fd;
    std::uint64_t serial;
};

struct Request {
    std::string_view method;
    std::string_view path;
    std::string_view body;
    std::size_t bytes{0}; ///< of the whole request
};

std::string json_answer(std::string_view body)
{
    std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
                         "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: ";
    return answer.append(std::to_string(body.size())).append("\r\n\r\n").append(body);
}

std::string model_entry(std::string_view extra)
{
    std::string entry = R"({"models":[{"name":")";
    entry.append(model_name).append(R"(","model":")").append(model_name).append(R"(","digest":")").append(model_digest);
    entry.append(R"(","size":481687,"details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],)"
                 R"("parameter_size":"0.1M","quantization_level":"F32"},)");
    return entry.append(extra).append("}]}");
}

class Backend {
public:
    explicit Backend(int listener)
        : epoll_(::epoll_create1(EPOLL_CLOEXEC)), listener_(listener),
          timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
          version_(json_answer(R"({"version":"0.33.0"})")),
          tags_(json_answer(model_entry(R"("modified_at":"2026-01-01T00:00:00Z","capabilities":["completion"])"))),
          ps_(json_answer(model_entry(R"("expires_at":"2318-01-01T00:00:00Z","size_vram":481687,"context_length":8192)"))),
          small_(json_answer(small_body(0)))
    {
        add(listener_, EPOLLIN);
        add(timer_, EPOLLIN);
    }

    [[noreturn]] void run()
    {
        std::array<::epoll_event, 256> events{};
        for (;;) {
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < count; ++i) {
                const auto& event = events[static_cast<std::size_t>(i)];
                if (event.data.fd == listener_) {
                    accept_all();
                } else if (event.data.fd == timer_) {
                    std::uint64_t ticks = 0;
                    (void)!::read(timer_, &ticks, sizeof ticks);
                    turn_wheel();
                } else {
                    serve(event.data.fd, event.events);
                }
            }
        }
    }

private:
    void add(int fd, std::uint32_t interest)
    {
        ::epoll_event event{};
        event.events = interest;
        event.data.fd = fd;
        (void)::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }

    void want_write(Connection& connection, bool wanted)
    {
        if (connection.wants_write != wanted) {
            connection.wants_write = wanted;
            ::epoll_event event{};
            event.events = wanted ? (EPOLLIN | EPOLLOUT) : EPOLLIN;
            event.data.fd = connection.fd;
            (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
        }
    }

    void accept_all()
    {
        for (;;) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                return;
            }
            set_no_delay(fd);
            const auto index = static_cast<std::size_t>(fd);
            if (connections_.size() <= index) {
                connections_.resize(index + 1);
            }
            connections_[index] = std::make_unique<Connection>();
            connections_[index]->fd = fd;
            connections_[index]->serial = ++serials_;
            add(fd, EPOLLIN);
        }
    }

    Connection* find(int fd) { return connections_[static_cast<std::size_t>(fd)].get(); }

    void drop(Connection& connection)
    {
        end_stream(connection);
        ::close(connection.fd);
        connections_[static_cast<std::size_t>(connection.fd)].reset();
    }

    void serve(int fd, std::uint32_t events)
    {
        Connection* connection = find(fd);
        if (connection == nullptr) {
            return;
        }
        if ((events & EPOLLOUT) != 0 && !flush(*connection)) {
            drop(*connection);
            return;
        }
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            const auto n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                drop(*connection); // a client that goes away ends its stream, as with Ollama
                return;
            }
            if (n > 0) {
                connection->in.append(buffer_.data(), static_cast<std::size_t>(n));
                if (!answer_all(*connection)) {
                    drop(*connection);
                }
            }
        }
    }

    /// False when the connection must be dropped.
    bool answer_all(Connection& connection)
    {
        while (!connection.stream && !connection.in.empty()) {
            Request request;
            const auto found = parse(connection.in, request);
            if (!found) {
                std::fprintf(stderr, "backend: a request that is not understood: %.200s\n", connection.in.c_str());
                return false;
            }
            if (!*found) {
                return true;
            }
            if (!answer(connection, request)) {
                return false;
            }
            connection.in.erase(0, request.bytes);
        }
        return connection.in.size() <= head_bytes_max + body_bytes_max;
    }

    /// Nothing: malformed. False: more bytes needed.
    static std::optional<bool> parse(std::string_view in, Request& request)
    {
        const auto end = in.find("\r\n\r\n");
        if (end == std::string_view::npos) {
            return in.size() > head_bytes_max ? std::nullopt : std::optional{false};
        }
        auto head = in.substr(0, end + 2);
        const auto line = head.substr(0, head.find("\r\n"));
        const auto space = line.find(' ');
        const auto second = line.find(' ', space + 1);
        if (space == std::string_view::npos || second == std::string_view::npos) {
            return std::nullopt;
        }
        request.method = line.substr(0, space);
        request.path = line.substr(space + 1, second - space - 1);
        std::size_t length = 0;
        for (head.remove_prefix(line.size() + 2); !head.empty();) {
            const auto field = head.substr(0, head.find("\r\n"));
            constexpr std::string_view name = "content-length:";
            if (field.size() > name.size() && ::strncasecmp(field.data(), name.data(), name.size()) == 0) {
                auto value = field.substr(name.size());
                value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
                const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), length);
                if (error != std::errc{} || length > body_bytes_max) {
                    return std::nullopt;
                }
            } else if (field.size() > 18 && ::strncasecmp(field.data(), "transfer-encoding:", 18) == 0) {
                return std::nullopt; // our own clients send a length, and a relay has no reason to change that
            }
            head.remove_prefix(field.size() + 2);
        }
        request.bytes = end + 4 + length;
        if (in.size() < request.bytes) {
            return false;
        }
        request.body = in.substr(end + 4, length);
        return true;
    }

    bool answer(Connection& connection, const Request& request)
    {
        if (request.method == "POST") {
            const auto ask = read_ask(request.body);
            if (!ask) {
                return send_bytes(connection, json_answer(R"({"error":"not a bench request"})"));
            }
            if (ask->rate == 0) {
                set_small_body_id(small_, ask->id);
                return send_bytes(connection, small_);
            }
            return begin_stream(connection, *ask);
        }
        std::string_view known;
        if (request.path == "/api/version") {
            known = version_;
        } else if (request.path == "/api/tags") {
            known = tags_;
        } else if (request.path == "/api/ps") {
            known = ps_;
        } else if (request.path == "/") {
            known = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n\r\nOllama is running";
        } else {
            known = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found";
        }
        if (request.method == "HEAD") {
            known = known.substr(0, known.find("\r\n\r\n") + 4);
        }
        return send_bytes(connection, known);
    }

    bool begin_stream(Connection& connection, const Ask& ask)
    {
        connection.stream = ask;
        connection.sequence = 0;
        connection.next_due = now_ns();
        if (streams_++ == 0) {
            wheel_now_ = connection.next_due / 1'000'000;
            set_ticking(true);
        }
        return send_chunk(connection, true);
    }

    void end_stream(Connection& connection)
    {
        if (connection.stream) {
            connection.stream.reset();
            if (--streams_ == 0) {
                set_ticking(false);
            }
        }
    }

    void set_ticking(bool on)
    {
        ::itimerspec every{};
        every.it_interval.tv_nsec = every.it_value.tv_nsec = on ? 1'000'000 : 0;
        (void)::timerfd_settime(timer_, 0, &every, nullptr);
    }

    void turn_wheel()
    {
        const std::uint64_t now = now_ns() / 1'000'000;
        while (streams_ > 0 && wheel_now_ <= now) {
            auto due = std::move(wheel_[wheel_now_ % wheel_slots]);
            wheel_[wheel_now_ % wheel_slots].clear();
            ++wheel_now_;
            for (const auto& entry : due) {
                Connection* connection = find(entry.fd);
                if (connection == nullptr || connection->serial != entry.serial || !connection->stream) {
                    continue;
                }
                if (!send_chunk(*connection, false) || (!connection->stream && !answer_all(*connection))) {
                    drop(*connection);
                }
            }
        }
    }

    /// Writes the next line of the stream, and schedules the one after it or ends the stream.
    bool send_chunk(Connection& connection, bool first)
    {
        const Ask ask = *connection.stream;
        chunk_.clear();
        if (first) {
            chunk_ = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                     "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n";
        }
        line_.clear();
        append_line(line_, ask, connection.sequence++, now_ns());
        std::array<char, 8> hex{};
        const auto hex_end = std::to_chars(hex.data(), hex.data() + hex.size(), line_.size(), 16).ptr;
        chunk_.append(hex.data(), hex_end).append("\r\n").append(line_).append("\r\n");
        if (connection.sequence == ask.chunks) {
            chunk_.append("0\r\n\r\n");
            end_stream(connection);
        } else {
            connection.next_due += 1'000'000'000U / ask.rate;
            const std::uint64_t slot = std::max(connection.next_due / 1'000'000 + 1, wheel_now_);
            wheel_[slot % wheel_slots].push_back({connection.fd, connection.serial});
        }
        return send_bytes(connection, chunk_);
    }

    bool send_bytes(Connection& connection, std::string_view bytes)
    {
        if (connection.out.empty()) {
            const auto n = ::send(connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != EINTR) {
                return false;
            }
            bytes.remove_prefix(n > 0 ? static_cast<std::size_t>(n) : 0);
        }
        if (!bytes.empty()) {
            connection.out.append(bytes);
            want_write(connection, true);
        }
        return true;
    }

    bool flush(Connection& connection)
    {
        const auto n = ::send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        connection.out.erase(0, static_cast<std::size_t>(n));
        want_write(connection, !connection.out.empty());
        return true;
    }

    int epoll_;
    int listener_;
    int timer_;
    std::string version_;
    std::string tags_;
    std::string ps_;
    std::string small_;
    std::string line_;
    std::string chunk_;
    std::vector<std::unique_ptr<Connection>> connections_; // by descriptor
    std::array<std::vector<Due>, wheel_slots> wheel_{};
    std::uint64_t wheel_now_{0}; // the next millisecond to look at
    std::uint64_t serials_{0};
    std::size_t streams_{0};
    std::array<char, 64 * 1024> buffer_{};
};

} // namespace
} // namespace herd::bench

int main(int argc, char** argv)
{
    herd::bench::live_with_parent();
    const auto port = herd::bench::number_option(argc, argv, "--port", 0);
    const int listener = herd::bench::listen_loopback(static_cast<std::uint16_t>(port));
    if (listener < 0) {
        std::perror("backend: cannot listen");
        return 1;
    }
    std::printf("backend listening on http://127.0.0.1:%u\n", static_cast<unsigned>(herd::bench::local_port(listener)));
    (void)std::fflush(stdout);
    const auto backend = std::make_unique<herd::bench::Backend>(listener);
    backend->run();
}
