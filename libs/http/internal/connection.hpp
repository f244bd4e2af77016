#pragma once
// One client's connection: reads requests one after the other, hands each to the handler as an exchange
// (itself), writes the answer. While a handler runs the socket is watched, so that a client that goes away is
// noticed at once and a pipelined request is kept for later.
#include "http/internal/inbound.hpp"
#include "http/internal/outgoing.hpp"
#include "http/internal/server_core.hpp"
#include "net/wake.hpp"

#include <optional>
#include <string>

namespace herd::http::internal {

/// Lives as long as its task. Thread: its loop.
class Connection final : public ServerExchange {
public:
    Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<net::Stream> stream);
    ~Connection() override;

    /// Serves requests until the connection ends.
    [[nodiscard]] static net::Task<void> run(std::unique_ptr<Connection> self);
    /// Answers 503 to whatever comes, and closes.
    [[nodiscard]] net::Task<void> refuse();
    void drain(); ///< closes if idle, else after the answer in progress
    void dismiss() override;
    void kill() override;  ///< resets the connection; its handler is told that the client is gone
    [[nodiscard]] Connection* next() const { return next_; }

    // --- the exchange ---
    [[nodiscard]] const RequestHead& head() const override { return in_.parser().request(); }
    void forget_fields() override { in_.parser().request().fields = {}; }
    [[nodiscard]] base::Endpoint peer() const override { return stream_->peer(); }
    [[nodiscard]] base::Endpoint local() const override { return stream_->local(); }
    [[nodiscard]] net::Loop& loop() override { return core_->loop; }
    [[nodiscard]] bool secure() const override { return secure_; }
    [[nodiscard]] net::Task<base::Result<std::span<const std::string_view>>> read_body() override;
    [[nodiscard]] std::optional<base::Result<std::span<const std::string_view>>> try_read_body() override;
    [[nodiscard]] bool body_complete() const override { return body_complete_; }
    void interrupt_read() override;
    void begin(ResponseHead head) override;
    [[nodiscard]] net::Task<base::Result<void>> flush() override;
    [[nodiscard]] net::Task<base::Result<void>> write(std::span<const std::string_view> pieces) override;
    [[nodiscard]] net::Task<base::Result<void>> end(std::span<const std::string_view> pieces) override;
    [[nodiscard]] bool try_write(std::span<const std::string_view> pieces) override { return try_put(pieces, false); }
    [[nodiscard]] bool try_end(std::span<const std::string_view> pieces) override { return try_put(pieces, true); }
    void abort() override;
    void close_after() override { keep_ = false; }
    [[nodiscard]] bool begun() const override { return begun_; }
    [[nodiscard]] bool committed() const override { return committed_; }
    [[nodiscard]] bool ended() const override { return ended_; }
    [[nodiscard]] bool client_gone() const override { return gone_ || dismissed_; }
    void on_client_gone(net::Callback work) override;
    [[nodiscard]] std::uint64_t bytes_in() const override { return bytes_in_; }
    [[nodiscard]] std::uint64_t bytes_out() const override { return bytes_out_; }

private:
    enum class Woken : std::uint8_t { closed, input, expired, interrupted }; // closed is also what a cancelled task gets
    enum class Input : std::uint8_t { ready, ended, reset, expired, closed, interrupted };

    // Reading.
    [[nodiscard]] net::Task<bool> choose_transport();
    [[nodiscard]] net::Task<bool> shake_hands();
    [[nodiscard]] net::Task<bool> read_request();
    [[nodiscard]] net::Task<Input> more();
    /// What more() returns, if that is known now; else `wake_` is to be waited for, and what it says goes to after().
    [[nodiscard]] std::optional<Input> input_now();
    [[nodiscard]] static std::optional<Input> after(Woken woken); ///< nothing: look again
    [[nodiscard]] net::Io take_input();
    [[nodiscard]] net::Task<base::Result<void>> await_body_bytes();
    void begin_exchange();
    void keep_unread();
    void watch(); ///< while a handler runs, as long as there is room for what comes
    void arm();
    void on_input();
    void on_deadline();
    void client_went_away();
    void tell_gone();

    // Answering.
    [[nodiscard]] net::Task<base::Result<void>> send(Outgoing out);
    [[nodiscard]] net::Task<base::Result<void>> put(std::span<const std::string_view> pieces, bool last);
    [[nodiscard]] bool try_put(std::span<const std::string_view> pieces, bool last);
    void sent(const Outgoing& out);
    struct Unasked {
        int status{0};
        std::string why{};
        std::string_view sentence{}; ///< else the status' own phrase
        base::Duration waited{};
        bool head_good{false}; ///< head() is that of the request which is answered
    };
    /// Head and body of an answer of our own, begun and voided what was before.
    [[nodiscard]] ResponseHead own_answer(int status, std::string_view reason, std::string& body);
    [[nodiscard]] net::Task<void> answer_error(int status); ///< in place of a handler that gave none
    [[nodiscard]] net::Task<void> answer_unasked(Unasked answer); ///< where none was asked
    [[nodiscard]] bool settled();
    [[nodiscard]] net::Task<void> settle(bool handler_failed);
    [[nodiscard]] net::Task<void> discard_body();
    [[nodiscard]] net::Task<void> linger();
    [[nodiscard]] bool must_close_for_body() const;

    std::shared_ptr<ServerCore> core_;
    std::unique_ptr<net::Stream> stream_;
    mutable Inbound in_;
    net::Wake<Woken> wake_;
    net::Deadline deadline_;
    std::string early_;    // bytes that came while a handler ran
    std::string head_out_; // the answer's head until its first write
    net::Callback gone_work_;
    std::unique_ptr<base::Error> body_error_; // null: none, as usual
    std::uint64_t bytes_in_{0};
    std::uint64_t bytes_out_{0};
    std::uint64_t left_{0}; // of the answer's body, with Framing::length
    std::size_t out_already_{0}; // of what is being put: written by try_put()
    Connection* previous_{nullptr};
    Connection* next_{nullptr};
    Framing framing_{Framing::none}; // of the answer
    bool bodiless_{false};           // the answer has no body, whatever is written
    bool keep_{true};                // the connection may serve another request
    bool idle_{true};                // between requests, no byte of the next one seen
    bool in_exchange_{false};
    bool body_complete_{true};
    bool continue_pending_{false};
    bool begun_{false};
    bool committed_{false};
    bool ended_{false};
    bool gone_{false};
    bool watching_{false};
    bool writing_{false};
    bool timed_out_{false};
    bool killed_{false};
    bool dismissed_{false}; ///< nobody wants this answer, though the client is there
    bool secure_{false};
    bool unread_input_{false}; // the client may be sending what nobody will read: close gently
};

} // namespace herd::http::internal
