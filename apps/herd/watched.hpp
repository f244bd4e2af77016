#pragma once
// An exchange that is answered by herd itself, watched on its way: what the answer's status is, and how much of a body
// went in and out. The answer gets the id of the request. All else goes straight through.
#include "http/server.hpp"

#include <string>
#include <utility>

namespace herd::app {

/// Thread: the exchange's. Lives shorter than that.
class Watched final : public http::ServerExchange {
public:
    Watched(http::ServerExchange& exchange, std::string id) : to_(exchange), id_(std::move(id)) {}

    [[nodiscard]] int status() const { return status_; } ///< 0: nothing was answered

    [[nodiscard]] const http::RequestHead& head() const override { return to_.head(); }
    [[nodiscard]] base::Endpoint peer() const override { return to_.peer(); }
    [[nodiscard]] base::Endpoint local() const override { return to_.local(); }
    [[nodiscard]] net::Loop& loop() override { return to_.loop(); }
    [[nodiscard]] bool secure() const override { return to_.secure(); }
    [[nodiscard]] net::Task<base::Result<std::span<const std::string_view>>> read_body() override { return to_.read_body(); }
    [[nodiscard]] std::optional<base::Result<std::span<const std::string_view>>> try_read_body() override { return to_.try_read_body(); }
    [[nodiscard]] bool body_complete() const override { return to_.body_complete(); }
    void interrupt_read() override { to_.interrupt_read(); }
    void begin(http::ResponseHead head) override
    {
        status_ = head.status;
        head.fields.add("X-Herd-Request-Id", id_);
        to_.begin(std::move(head));
    }
    [[nodiscard]] net::Task<base::Result<void>> flush() override { return to_.flush(); }
    [[nodiscard]] net::Task<base::Result<void>> write(std::span<const std::string_view> pieces) override { return to_.write(pieces); }
    [[nodiscard]] net::Task<base::Result<void>> end(std::span<const std::string_view> pieces) override { return to_.end(pieces); }
    [[nodiscard]] bool try_write(std::span<const std::string_view> pieces) override { return to_.try_write(pieces); }
    [[nodiscard]] bool try_end(std::span<const std::string_view> pieces) override { return to_.try_end(pieces); }
    void abort() override { to_.abort(); }
    void dismiss() override { to_.dismiss(); }
    void kill() override { to_.kill(); }
    void close_after() override { to_.close_after(); }
    [[nodiscard]] bool begun() const override { return to_.begun(); }
    [[nodiscard]] bool committed() const override { return to_.committed(); }
    [[nodiscard]] bool ended() const override { return to_.ended(); }
    [[nodiscard]] bool client_gone() const override { return to_.client_gone(); }
    void on_client_gone(net::Callback work) override { to_.on_client_gone(std::move(work)); }
    [[nodiscard]] std::uint64_t bytes_in() const override { return to_.bytes_in(); }
    [[nodiscard]] std::uint64_t bytes_out() const override { return to_.bytes_out(); }

private:
    http::ServerExchange& to_;
    std::string id_;
    int status_{0};
};

} // namespace herd::app
