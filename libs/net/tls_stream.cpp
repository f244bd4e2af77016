// A stream inside TLS. OpenSSL reads and writes the stream below through a BIO, which only tries; waiting is
// done here, by watching the stream below for whoever waits above.
#include "base/assert.hpp"
#include "base/ip.hpp"
#include "net/buffers.hpp"
#include "net/tls.hpp"
#include "net/tls_bio.hpp"
#include "net/tls_peer.hpp"
#include "net/wake.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace herd::net {

namespace {

constexpr std::size_t record_bytes = std::size_t{16} * 1024; // the most that one record of TLS carries
static_assert(buffer_bytes >= record_bytes);

/// Who waits above, in both directions. Shared with what is armed below, which may outlive the stream.
struct Waits {
    explicit Waits(Loop& loop) : reading(loop), writing(loop) {}
    struct Side {
        explicit Side(Loop& loop) : task(loop) {}
        Callback watch;
        Wake<bool> task;
        bool about_to_wait{false}; ///< its task will wait before the loop does anything else
        bool wants_other{false};   ///< TLS itself must write to read on, or the other way round

        [[nodiscard]] bool waits() const { return watch || about_to_wait || task.waiting(); }
        void fire()
        {
            about_to_wait = false;
            auto once = std::exchange(watch, nullptr);
            if (task.waiting()) {
                once ? task.wake_later(true) : task.wake(true);
            }
            if (once) {
                once();
            }
        }
    };
    Side reading;
    Side writing;
    bool armed_read{false};
    bool armed_write{false};
};

/// The stream below became readable or writable. What runs here may destroy the stream: nothing is touched after.
void fire(const std::shared_ptr<Waits>& waits, bool readable)
{
    (readable ? waits->armed_read : waits->armed_write) = false;
    const bool first = waits->reading.waits() && waits->reading.wants_other != readable;
    const bool second = waits->writing.waits() && waits->writing.wants_other == readable;
    if (first) {
        waits->reading.fire();
    }
    if (second && waits->writing.waits()) {
        waits->writing.fire();
    }
}

Task<bool> ready_now(bool open) { co_return open; }

std::string peer_complaint(unsigned long code)
{
    const char* text = ::ERR_reason_error_string(code);
    return text != nullptr ? text : "unknown TLS error";
}

class OpenSslStream final : public TlsStream {
public:
    OpenSslStream(Loop& loop, std::unique_ptr<Stream> plain, const TlsContext& context, std::string_view early)
        : loop_(loop), below_{.stream = std::move(plain), .early = std::string{early}}, ssl_(::SSL_new(context.native())),
          waits_(std::make_shared<Waits>(loop))
    {
        HERD_ASSERT(ssl_ != nullptr);
        ::BIO* bio = make_bio(below_);
        ::SSL_set_bio(ssl_, bio, bio);
    }
    ~OpenSslStream() override
    {
        OpenSslStream::close();
        ::SSL_free(ssl_);
    }

    void serve() { ::SSL_set_accept_state(ssl_); }
    void ask(std::shared_ptr<const base::PeerTrust> trusted);

    Task<Result<void>> handshake() override;
    [[nodiscard]] Digest peer_certificate() const;
    Io try_read(std::span<char> into) override;
    Io try_write(std::span<const std::string_view> pieces) override;

    Task<bool> readable() override { return wait(waits_->reading, may_hold_more()); }
    Task<bool> writable() override { return wait(waits_->writing, broken_); }
    void watch(Callback work) override
    {
        if (is_open()) {
            waits_->reading.watch = std::move(work);
            may_hold_more() ? fire_later() : arm();
        }
    }
    void unwatch() override { waits_->reading.watch = nullptr; }
    void watch_writable(Callback work) override
    {
        if (is_open()) {
            waits_->writing.watch = std::move(work);
            arm();
        }
    }
    void unwatch_writable() override { waits_->writing.watch = nullptr; }

    void finish_sending() noexcept override
    {
        if (is_open()) {
            tell_end();
            below_.stream->finish_sending();
        }
    }
    void close() noexcept override
    {
        if (is_open()) {
            tell_end();
            shut(false);
        }
    }
    void abort() noexcept override { shut(true); }
    void acknowledge_within(base::Duration limit) noexcept override { below_.stream->acknowledge_within(limit); }
    [[nodiscard]] bool is_open() const override { return below_.stream->is_open(); }
    [[nodiscard]] Endpoint peer() const override { return below_.stream->peer(); }
    [[nodiscard]] Endpoint local() const override { return below_.stream->local(); }

private:
    enum class Step : std::uint8_t { read_below, write_below, end, broken };
    Step step(int result);
    [[nodiscard]] base::Error handshake_error() const;
    [[nodiscard]] Io failure() const { return {Io::State::failed, 0, cause_}; }
    /// Bytes that arrived may hold what a reader waits for: the stream below would not tell of them.
    [[nodiscard]] bool may_hold_more() const { return broken_ || (!drained_ && ::SSL_has_pending(ssl_) == 1); }
    void tell_end() noexcept;
    void shut(bool reset) noexcept;
    void arm();
    void fire_later();
    Task<bool> wait(Waits::Side& side, bool at_once);
    Io write_record(std::span<const std::string_view> pieces, std::size_t index, std::size_t skip);

    Loop& loop_;
    Below below_;
    ::SSL* ssl_;
    std::shared_ptr<Waits> waits_;
    std::shared_ptr<const base::PeerTrust> trust_{}; // kept: connections are told apart by it
    std::error_code cause_{};
    std::size_t owed_{0};  ///< payload of a record that the stream below took in part: it must be offered again
    bool drained_{false};  ///< what arrived holds no whole record
    bool shaken_{false};
    bool told_end_{false};
    bool broken_{false};
};

void OpenSslStream::ask(std::shared_ptr<const base::PeerTrust> trusted)
{
    ::SSL_set_connect_state(ssl_);
    trust_ = std::move(trusted);
    const base::PeerTrust& trust = *trust_;
    std::string host = trust.host;
    if (host.ends_with('.')) {
        host.pop_back();
    }
    const bool numeric = base::IpAddress::parse(host).has_value();
    if (!numeric) {
        (void)SSL_set_tlsext_host_name(ssl_, host.c_str());
    }
    if (trust.pin || !trust.verify) {
        ::SSL_set_verify(ssl_, SSL_VERIFY_NONE, nullptr);
        return;
    }
    ::SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
    ::X509_VERIFY_PARAM* rules = ::SSL_get0_param(ssl_);
    ::X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    HERD_ASSERT((numeric ? ::X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str())
                         : ::X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size()))
                == 1);
}

/// What a call of OpenSSL that did not succeed wants. Requires: ERR_clear_error() before the call.
OpenSslStream::Step OpenSslStream::step(int result)
{
    switch (::SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Step::read_below;
    case SSL_ERROR_WANT_WRITE: return Step::write_below;
    case SSL_ERROR_ZERO_RETURN: return Step::end;
    default: break;
    }
    // Cut off without a word, a broken record, or the stream below broke: for those above it is all a reset.
    cause_ = below_.cause ? below_.cause : std::make_error_code(std::errc::connection_reset);
    broken_ = true;
    return Step::broken;
}

base::Error OpenSslStream::handshake_error() const
{
    const auto error = [](base::Errc code, std::string context, std::error_code cause = {}) {
        return base::Error{code, base::Source::self, base::Retry::always, std::move(context), cause};
    };
    if (below_.cause) {
        return error(base::errc_of(below_.cause), "in the TLS handshake", below_.cause);
    }
    const unsigned long code = ::ERR_peek_last_error();
    const int why = ERR_GET_REASON(code);
    if (below_.ended && (code == 0 || why == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        return error(base::Errc::closed, "the peer ended the TLS handshake");
    }
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return error(base::Errc::forbidden, std::string{"its certificate is not accepted: "}
                                                + ::X509_verify_cert_error_string(::SSL_get_verify_result(ssl_)));
    }
    if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        return error(base::Errc::forbidden, "the client shows no certificate");
    }
    if (why == SSL_R_WRONG_VERSION_NUMBER || why == SSL_R_HTTP_REQUEST) {
        return error(base::Errc::malformed, "the peer does not speak TLS");
    }
    return error(base::Errc::malformed, "the TLS handshake failed: " + peer_complaint(code));
}

Digest OpenSslStream::peer_certificate() const
{
    Digest shown{};
    unsigned int size = 0;
    ::X509* certificate = ::SSL_get1_peer_certificate(ssl_);
    const bool read = certificate != nullptr && ::X509_digest(certificate, ::EVP_sha256(), shown.data(), &size) == 1;
    ::X509_free(certificate);
    return read ? shown : Digest{};
}

Task<Result<void>> OpenSslStream::handshake()
{
    for (;;) {
        ::ERR_clear_error();
        const int result = ::SSL_do_handshake(ssl_);
        if (result == 1) {
            break;
        }
        const Step next = step(result);
        if (next == Step::end || next == Step::broken) {
            broken_ = true;
            auto error = handshake_error();
            ::ERR_clear_error();
            co_return std::unexpected(std::move(error));
        }
        const bool open = next == Step::read_below ? co_await below_.stream->readable()
                                                   : co_await below_.stream->writable();
        if (!open) {
            broken_ = true;
            co_return base::fail(base::Errc::cancelled);
        }
    }
    if (trust_ && trust_->pin && peer_certificate() != *trust_->pin) {
        broken_ = true;
        co_return base::fail(base::Errc::forbidden, "its certificate is not the pinned one", base::Source::self,
                             base::Retry::always);
    }
    shaken_ = true;
    co_return Result<void>{};
}

Io OpenSslStream::try_read(std::span<char> into)
{
    std::size_t total = 0;
    drained_ = false;
    waits_->reading.wants_other = false;
    while (!broken_ && total < into.size()) {
        ::ERR_clear_error();
        std::size_t read = 0;
        const int result = ::SSL_read_ex(ssl_, into.data() + total, into.size() - total, &read);
        if (result == 1) {
            total += read;
            drained_ = below_.dry && ::SSL_has_pending(ssl_) == 0;
            if (drained_) {
                break; // as with TCP: a short read took all there was
            }
            continue;
        }
        const Step next = step(result);
        drained_ = true;
        waits_->reading.wants_other = next == Step::write_below;
        if (total > 0) {
            drained_ = next != Step::end; // the end itself is still to be told
            break;
        }
        if (next == Step::end) {
            return {Io::State::end, 0, {}};
        }
        if (next != Step::broken) {
            return {Io::State::would_block, 0, {}};
        }
    }
    return total > 0 ? Io{Io::State::done, total, {}} : failure();
}

/// One record from what comes after the first `skip` bytes of pieces[index…].
Io OpenSslStream::write_record(std::span<const std::string_view> pieces, std::size_t index, std::size_t skip)
{
    const std::size_t limit = owed_ > 0 ? owed_ : record_bytes;
    std::string_view bytes = pieces[index].substr(skip);
    Buffer gathered;
    if (bytes.size() < limit && index + 1 < pieces.size()) {
        gathered = borrow_buffer(); // small pieces travel as one record, not as one each
        std::size_t used = 0;
        for (std::size_t i = index; i < pieces.size() && used < limit; ++i) {
            const auto part = pieces[i].substr(i == index ? skip : 0, limit - used);
            std::ranges::copy(part, gathered.bytes().begin() + static_cast<std::ptrdiff_t>(used));
            used += part.size();
        }
        bytes = {gathered.bytes().data(), used};
    }
    bytes = bytes.substr(0, limit);
    if (bytes.empty()) {
        return {Io::State::done, 0, {}};
    }
    ::ERR_clear_error();
    std::size_t written = 0;
    const int result = ::SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
    if (result == 1) {
        owed_ = 0;
        return {Io::State::done, written, {}};
    }
    const Step next = step(result);
    if (next == Step::end || next == Step::broken) {
        broken_ = true;
        return failure();
    }
    owed_ = bytes.size();
    waits_->writing.wants_other = next == Step::read_below;
    return {Io::State::would_block, 0, {}};
}

Io OpenSslStream::try_write(std::span<const std::string_view> pieces)
{
    pieces = pieces.first(std::min<std::size_t>(pieces.size(), 16));
    waits_->writing.wants_other = false;
    std::size_t total = 0;
    std::size_t index = 0;
    std::size_t skip = 0;
    while (index < pieces.size()) {
        if (skip >= pieces[index].size()) {
            skip -= pieces[index].size();
            ++index;
            continue;
        }
        if (broken_ || !is_open()) {
            cause_ = cause_ ? cause_ : std::make_error_code(std::errc::broken_pipe);
            return failure();
        }
        const Io io = write_record(pieces, index, skip);
        if (!io.done()) {
            return total > 0 ? Io{Io::State::done, total, {}} : io;
        }
        total += io.bytes;
        skip += io.bytes;
    }
    return {Io::State::done, total, {}};
}

/// Says that nothing more comes, as far as it goes without waiting. Not after half a record: that is a truncation.
void OpenSslStream::tell_end() noexcept
{
    if (shaken_ && !broken_ && owed_ == 0 && !std::exchange(told_end_, true)) {
        (void)::SSL_shutdown(ssl_);
        ::ERR_clear_error();
    }
}

void OpenSslStream::shut(bool reset) noexcept
{
    waits_->reading.watch = nullptr;
    waits_->writing.watch = nullptr;
    reset ? below_.stream->abort() : below_.stream->close();
    waits_->reading.task.wake_later(false);
    waits_->writing.task.wake_later(false);
}

void OpenSslStream::arm()
{
    Waits& w = *waits_;
    const auto wanted = [&](bool readable) {
        return (w.reading.waits() && w.reading.wants_other != readable)
            || (w.writing.waits() && w.writing.wants_other == readable);
    };
    if (!w.armed_read && wanted(true)) {
        w.armed_read = true;
        below_.stream->watch([waits = waits_] { fire(waits, true); });
    }
    if (!w.armed_write && wanted(false)) {
        w.armed_write = true;
        below_.stream->watch_writable([waits = waits_] { fire(waits, false); });
    }
}

void OpenSslStream::fire_later()
{
    loop_.post([weak = std::weak_ptr(waits_)] {
        if (const auto waits = weak.lock(); waits && waits->reading.watch) {
            waits->reading.fire();
        }
    });
}

Task<bool> OpenSslStream::wait(Waits::Side& side, bool at_once)
{
    if (!is_open() || at_once) {
        return ready_now(is_open());
    }
    HERD_ASSERT(!side.task.waiting());
    side.about_to_wait = true;
    arm();
    return side.task.wait();
}

} // namespace

std::unique_ptr<TlsStream> tls_server(Loop& loop, std::unique_ptr<Stream> plain, const TlsContext& context,
                                      std::string_view already_read)
{
    auto made = std::make_unique<OpenSslStream>(loop, std::move(plain), context, already_read);
    made->serve();
    return made;
}

Digest peer_certificate(const Stream& stream)
{
    const auto* inside = dynamic_cast<const OpenSslStream*>(&stream);
    return inside != nullptr ? inside->peer_certificate() : Digest{};
}

Result<std::unique_ptr<TlsStream>> tls_client(Loop& loop, std::unique_ptr<Stream> plain,
                                              std::shared_ptr<const base::PeerTrust> trust)
{
    const auto context = TlsContext::shared_client(trust->pin || !trust->verify ? std::string{} : trust->ca_file);
    if (!context) {
        return std::unexpected(context.error());
    }
    auto made = std::make_unique<OpenSslStream>(loop, std::move(plain), **context, std::string_view{});
    made->ask(std::move(trust));
    return made;
}

} // namespace herd::net
