#pragma once
// TLS over any Stream. What comes out is a Stream again, so nobody above knows. OpenSSL does the work; it reads
// and writes through the stream below, and holds no buffer while nothing is on its way.
#include "base/peer_trust.hpp"
#include "net/crypto.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st; // OpenSSL's SSL_CTX

namespace herd::net {

/// The first octet that a TLS client sends; no HTTP request begins with it.
inline constexpr char tls_first_byte = 0x16;

struct TlsFiles {
    std::string certificate{}; ///< PEM: the server's certificate, then those that lead to its root
    std::string key{};         ///< PEM
    std::string client_ca{};   ///< PEM; when given, clients must show a certificate signed by one of these
};

/// Certificate, key and rules of one side. Never changes: a reload makes another. Thread: any.
class TlsContext {
public:
    /// TLS 1.2 and 1.3, no renegotiation. Errors: bad_config, one sentence naming the file.
    [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> server(const TlsFiles& files);
    /// The same from PEM texts, for a certificate of our own making.
    [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> server_of(std::string_view certificate,
                                                                             std::string_view key);
    /// `ca_file` empty: whom this system trusts. Errors: bad_config.
    [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> client(const std::string& ca_file);
    /// The same, read once for each file until forget_certificate_authorities().
    [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> shared_client(const std::string& ca_file);

    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext();
    /// SHA-256 of the server's certificate (DER), as a peer may pin it.
    [[nodiscard]] const Digest& fingerprint() const { return fingerprint_; }
    [[nodiscard]] ::ssl_ctx_st* native() const { return context_; }

private:
    explicit TlsContext(::ssl_ctx_st* context) : context_(context) {}
    ::ssl_ctx_st* context_;
    Digest fingerprint_{};
};

/// A Stream that must shake hands first. Its end is told from a truncation: without the peer's close_notify a
/// read fails (reset) instead of ending.
class TlsStream : public Stream {
public:
    /// Once, before anything else. close() ends it with Errc::cancelled. No deadline of its own.
    /// Errors: malformed (not TLS, or no common version), forbidden (a certificate is not accepted), closed, reset, io.
    [[nodiscard]] virtual Task<Result<void>> handshake() = 0;
};

/// The serving side. `already_read` are bytes that were read from `plain` before it was clear that this is TLS.
[[nodiscard]] std::unique_ptr<TlsStream> tls_server(Loop& loop, std::unique_ptr<Stream> plain,
                                                    const TlsContext& context, std::string_view already_read = {});
/// The asking side, recognising the peer by `trust` (which the stream keeps). Errors: bad_config (its ca_file).
[[nodiscard]] Result<std::unique_ptr<TlsStream>> tls_client(Loop& loop, std::unique_ptr<Stream> plain,
                                                            std::shared_ptr<const base::PeerTrust> trust);
/// The same with its handshake, until `deadline`. Errors: as handshake(), with Source::node, and timed_out.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> tls_connect(Loop& loop, std::unique_ptr<Stream> plain,
                                                                std::shared_ptr<const base::PeerTrust> trust,
                                                                base::Instant deadline);
/// Certificate authorities are read once for each file; after this they are read anew. Thread: any.
void forget_certificate_authorities();

struct SelfSigned {
    std::string certificate{}; ///< PEM
    std::string key{};         ///< PEM, a secret
};
/// A certificate signed by its own key, for ten years from `now`. `names`: host names and numeric addresses.
[[nodiscard]] SelfSigned make_self_signed(const std::vector<std::string>& names, base::WallTime now);
/// SHA-256 of the first certificate of a PEM text. Errors: malformed.
[[nodiscard]] Result<Digest> fingerprint_of(std::string_view certificate);

} // namespace herd::net
