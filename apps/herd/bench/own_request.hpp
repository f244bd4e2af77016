#pragma once
// A request of herd's own and its answer, without a connection: what it says is there at once, what it hears is counted and
// dropped.
#include "herd/bench/prompts.hpp"
#include "herd/bench/tally.hpp"
#include "http/server.hpp"
#include "proxy/record.hpp"

#include <array>
#include <optional>
#include <string>

namespace herd::app::bench {

/// Thread: the loop's.
class OwnRequest final : public http::ServerExchange {
public:
    OwnRequest(net::Loop& loop, std::string id, Question question);

    [[nodiscard]] const std::string& id() const { return id_; }
    /// As a client that hangs up.
    void leave();
    /// What the record knows better than a client.
    void take(const proxy::ExchangeRecord& record);
    /// When the handler has returned.
    [[nodiscard]] Told told();

    [[nodiscard]] const http::RequestHead& head() const override { return head_; }
    [[nodiscard]] base::Endpoint peer() const override { return peer_; }
    [[nodiscard]] base::Endpoint local() const override { return peer_; }
    [[nodiscard]] net::Loop& loop() override { return loop_; }
    [[nodiscard]] bool is_own() const override { return true; }
    [[nodiscard]] net::Task<base::Result<std::span<const std::string_view>>> read_body() override;
    [[nodiscard]] std::optional<base::Result<std::span<const std::string_view>>> try_read_body() override;
    [[nodiscard]] bool body_complete() const override { return read_ > 0; }
    void interrupt_read() override {}
    void begin(http::ResponseHead head) override;
    [[nodiscard]] net::Task<base::Result<void>> flush() override;
    [[nodiscard]] net::Task<base::Result<void>> write(std::span<const std::string_view> pieces) override;
    [[nodiscard]] net::Task<base::Result<void>> end(std::span<const std::string_view> pieces) override;
    [[nodiscard]] bool try_write(std::span<const std::string_view> pieces) override;
    [[nodiscard]] bool try_end(std::span<const std::string_view> pieces) override;
    void abort() override {} // then ended() stays false
    void dismiss() override { go(dismissed_); }
    void kill() override { go(gone_); }
    void close_after() override {}
    [[nodiscard]] bool begun() const override { return status_ != 0; }
    [[nodiscard]] bool committed() const override { return first_.has_value(); }
    [[nodiscard]] bool ended() const override { return ended_; }
    [[nodiscard]] bool client_gone() const override { return gone_ || dismissed_; }
    void on_client_gone(net::Callback work) override;
    [[nodiscard]] std::uint64_t bytes_in() const override { return read_ > 0 ? body_.size() : 0; }
    [[nodiscard]] std::uint64_t bytes_out() const override { return heard_; }

private:
    void go(bool& how);
    [[nodiscard]] base::Result<void> hear_if_there(std::span<const std::string_view> pieces);
    void hear(std::span<const std::string_view> pieces);
    void hear_tokens(std::uint64_t before);
    [[nodiscard]] std::string why_not() const;
    [[nodiscard]] std::span<const std::string_view> next_pieces();

    net::Loop& loop_;
    std::string id_;
    http::RequestHead head_;
    base::Endpoint peer_;
    std::string body_;
    std::array<std::string_view, 1> piece_;
    int read_{0}; ///< 1: the body was read, 2: its end too
    base::Instant began_;
    int status_{0};
    std::uint64_t lines_a_token_{0}; ///< of the stream that is answered; 0: it is none
    std::uint64_t lines_{0};
    std::string error_body_;         ///< the beginning of an answer that is an error
    std::optional<base::Instant> first_{};
    base::Instant last_{};
    std::uint64_t heard_{0};
    bool ended_{false};
    bool gone_{false};
    bool dismissed_{false}; ///< somebody else ended it; it still hears why
    bool left_{false};      ///< we did
    net::Callback on_gone_{};
    Told told_{};
    std::string termination_{};
};

} // namespace herd::app::bench
