#include "herd/tls.hpp"

#include "store/certificate.hpp"
#include "store/state_file.hpp"

#include <unistd.h>

namespace herd::app {

namespace {

using Made = base::Result<std::shared_ptr<const net::TlsContext>>;

/// A fault in a file is told with the line that names the file.
Made placed(Made made, const HerdOptions& options)
{
    return made ? std::move(made) : config::with_place(options.places, std::move(made.error()));
}

} // namespace

base::Result<std::shared_ptr<const net::TlsContext>> listener_tls(const HerdOptions& options)
{
    const HerdOptions::Tls& tls = options.tls;
    if (!tls.enabled()) {
        return nullptr;
    }
    if (!tls.self_signed) {
        const auto secret = store::check_shared_secret_file(tls.key);
        if (!secret && ::access(tls.key.c_str(), F_OK) == 0) { // as with every secret in a file; a group may share one (ssl-cert)
            return config::with_place(options.places, base::Error{.code = base::Errc::bad_config, .context = "tls.key: " + secret.error().context});
        }
        return placed(net::TlsContext::server({tls.cert, tls.key, tls.client_ca}), options);
    }
    auto own = store::own_certificate(options.state_dir, base::SystemClock{}.wall());
    if (!own) {
        return std::unexpected(own.error());
    }
    return placed(net::TlsContext::server({own->certificate_file, own->key_file, tls.client_ca}), options);
}

} // namespace herd::app
