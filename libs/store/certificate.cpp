#include "store/certificate.hpp"

#include "net/interfaces.hpp"
#include "net/tls.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

namespace herd::store {

namespace {

constexpr std::size_t pem_bytes_max = 64 * 1024;
constexpr std::size_t addresses_max = 64;

/// By what names and addresses this host is called.
std::vector<std::string> own_names()
{
    std::vector<std::string> names;
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0') {
        names.emplace_back(host.data());
        if (names.front().find('.') == std::string::npos) {
            names.push_back(names.front() + ".local");
        }
    }
    names.insert(names.end(), {"localhost", "127.0.0.1", "::1"});
    const auto interfaces = net::list_interfaces();
    for (const net::Interface& interface : interfaces ? *interfaces : std::vector<net::Interface>{}) {
        for (const net::InterfaceAddress& own : interface.addresses) {
            std::string text = own.address.without_scope().text();
            if (names.size() < addresses_max && std::ranges::find(names, text) == names.end()) {
                names.push_back(std::move(text));
            }
        }
    }
    return names;
}

} // namespace

base::Result<OwnCertificate> own_certificate(const std::string& state_dir, base::WallTime now)
{
    OwnCertificate own{state_dir + "/tls-cert.pem", state_dir + "/tls-key.pem"};
    const auto certificate = read_state_file(own.certificate_file, pem_bytes_max);
    const auto key = read_state_file(own.key_file, pem_bytes_max);
    const auto absent = [](const base::Result<std::string>& file) {
        return !file && file.error().code == base::Errc::not_found;
    };
    if (certificate && key) {
        return own;
    }
    if (!absent(certificate) || !absent(key)) {
        const bool lone = certificate || key;
        return base::fail(base::Errc::bad_config,
                          lone ? own.certificate_file + " and tls-key.pem beside it belong together: one is missing or unreadable; restore it, or remove the other"
                               : "cannot read " + own.certificate_file + ": " + certificate.error().message());
    }
    const net::SelfSigned made = net::make_self_signed(own_names(), now);
    for (const auto& [path, text] : {std::pair{&own.key_file, &made.key}, std::pair{&own.certificate_file, &made.certificate}}) {
        if (auto written = write_state_file(*path, *text); !written) {
            return std::unexpected(written.error());
        }
    }
    return own;
}

} // namespace herd::store
