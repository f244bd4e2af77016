// The asking side of TLS: whose word counts, and the handshake with its deadline.
#include "net/timer.hpp"
#include "net/tls.hpp"

#include <map>
#include <mutex>
#include <utility>

namespace herd::net {

namespace {

/// By their file of authorities: reading those is slow, and all streams of a file may share one.
struct ClientContexts {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<const TlsContext>> by_file;
};

ClientContexts& client_contexts()
{
    static ClientContexts contexts;
    return contexts;
}

} // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::shared_client(const std::string& ca_file)
{
    ClientContexts& all = client_contexts();
    const std::scoped_lock lock(all.mutex);
    if (const auto found = all.by_file.find(ca_file); found != all.by_file.end()) {
        return found->second;
    }
    auto made = client(ca_file);
    if (made) {
        all.by_file.emplace(ca_file, *made);
    }
    return made;
}

void forget_certificate_authorities()
{
    ClientContexts& all = client_contexts();
    const std::scoped_lock lock(all.mutex);
    all.by_file.clear();
}

Task<Result<std::unique_ptr<Stream>>> tls_connect(Loop& loop, std::unique_ptr<Stream> plain,
                                                  std::shared_ptr<const base::PeerTrust> trust, base::Instant deadline)
{
    const std::string host = trust->host;
    auto stream = tls_client(loop, std::move(plain), std::move(trust));
    if (!stream) {
        stream.error().source = base::Source::node;
        stream.error().retry = base::Retry::always;
        co_return std::unexpected(std::move(stream.error()));
    }
    bool expired = false;
    Timer timer(loop);
    timer.call_at(deadline, [&] {
        expired = true;
        (*stream)->close();
    });
    auto shaken = co_await (*stream)->handshake();
    timer.cancel();
    if (!shaken) {
        auto error = std::move(shaken.error());
        error.source = base::Source::node;
        error.retry = base::Retry::always; // nothing of a request was sent
        if (expired) {
            error.code = base::Errc::timed_out;
            error.context = "no answer in the TLS handshake";
        }
        error.context = host + ": " + error.context;
        co_return std::unexpected(std::move(error));
    }
    co_return std::unique_ptr<Stream>(std::move(*stream));
}

} // namespace herd::net
