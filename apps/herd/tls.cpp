#include "herd/tls.hpp"

#include "store/certificate.hpp"

#include <sys/stat.h>

namespace herd::app {

base::Result<std::shared_ptr<const net::TlsContext>> listener_tls(const HerdOptions& options)
{
    const HerdOptions::Tls& tls = options.tls;
    if (!tls.enabled()) {
        return nullptr;
    }
    if (!tls.self_signed) {
        struct ::stat status {};
        if (::stat(tls.key.c_str(), &status) == 0 && (status.st_mode & 007) != 0) { // as with every secret in a file; a group may share one (ssl-cert)
            return base::fail(base::Errc::bad_config, "tls.key: " + tls.key + " can be read by others: chmod 600 " + tls.key);
        }
        return net::TlsContext::server({tls.cert, tls.key, tls.client_ca});
    }
    auto own = store::own_certificate(options.state_dir, base::SystemClock{}.wall());
    if (!own) {
        return std::unexpected(own.error());
    }
    return net::TlsContext::server({own->certificate_file, own->key_file, tls.client_ca});
}

} // namespace herd::app
