#include "herd/tls.hpp"

#include "store/certificate.hpp"

namespace herd::app {

base::Result<std::shared_ptr<const net::TlsContext>> listener_tls(const HerdOptions& options)
{
    const HerdOptions::Tls& tls = options.tls;
    if (!tls.enabled()) {
        return nullptr;
    }
    if (!tls.self_signed) {
        return net::TlsContext::server({tls.cert, tls.key, tls.client_ca});
    }
    auto own = store::own_certificate(options.state_dir, base::SystemClock{}.wall());
    if (!own) {
        return std::unexpected(own.error());
    }
    return net::TlsContext::server({own->certificate_file, own->key_file, tls.client_ca});
}

} // namespace herd::app
