// Certificates and rules of one side, read from files; and certificates of our own making.
#include "base/assert.hpp"
#include "net/tls.hpp"

#include <array>
#include <memory>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace herd::net {

namespace {

template <auto free_it>
struct Free {
    template <class T>
    void operator()(T* object) const
    {
        free_it(object);
    }
};
using Bio = std::unique_ptr<::BIO, Free<::BIO_free>>;
using Certificate = std::unique_ptr<::X509, Free<::X509_free>>;
using Key = std::unique_ptr<::EVP_PKEY, Free<::EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<::EVP_PKEY_CTX, Free<::EVP_PKEY_CTX_free>>;
using Names = std::unique_ptr<::GENERAL_NAMES, Free<::GENERAL_NAMES_free>>;

/// The latest error says most, but of a file that cannot be read only that the system refused it ("system lib"): then an
/// earlier one says why.
std::string reason()
{
    const char* text = ::ERR_reason_error_string(::ERR_peek_last_error());
    std::string why = text != nullptr ? text : "unreadable";
    while (const unsigned long code = ::ERR_get_error()) {
        if (ERR_SYSTEM_ERROR(code)) {
            why = ::strerror(static_cast<int>(ERR_GET_REASON(code)));
        }
    }
    return why;
}

std::unexpected<base::Error> refuse(std::string what)
{
    const std::string why = reason();
    return base::fail(base::Errc::bad_config, std::move(what) + ": " + why);
}

/// Only HTTP/1.1 is spoken here; a client that offers it hears so, any other gets no answer to its question.
int choose_protocol(::SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned int in_length, void* /*unused*/)
{
    static constexpr std::array<unsigned char, 9> ours{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* chosen = nullptr;
    const int found = ::SSL_select_next_proto(&chosen, out_length, ours.data(), ours.size(), in, in_length);
    if (found != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

void set_common(::SSL_CTX* context)
{
    HERD_ASSERT(::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
    ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // Buffers are given back while a stream is idle; a write may be tried again from another place.
    ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
                                    | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ::SSL_CTX_set_read_ahead(context, 1); // one system call for many records, not two for each
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

Digest digest_of(const ::X509* certificate)
{
    Digest digest{};
    unsigned int size = 0;
    HERD_ASSERT(::X509_digest(certificate, ::EVP_sha256(), digest.data(), &size) == 1 && size == digest.size());
    return digest;
}

/// Never asks a person for a pass phrase: a server has nobody to ask.
int no_pass_phrase(char* /*into*/, int /*size*/, int /*writing*/, void* /*unused*/) { return 0; }

Bio bio_of(std::string_view text) { return Bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

void add_extension(::X509* certificate, int which, const char* value)
{
    ::X509V3_CTX context{};
    ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    ::X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, which, value);
    HERD_ASSERT(extension != nullptr && ::X509_add_ext(certificate, extension, -1) == 1);
    ::X509_EXTENSION_free(extension);
}

void add_names(::X509* certificate, const std::vector<std::string>& names)
{
    const Names all(::GENERAL_NAMES_new());
    for (const std::string& name : names) {
        ::GENERAL_NAME* one = ::GENERAL_NAME_new();
        if (::ASN1_OCTET_STRING* address = ::a2i_IPADDRESS(name.c_str()); address != nullptr) {
            ::GENERAL_NAME_set0_value(one, GEN_IPADD, address);
        } else {
            ::ASN1_IA5STRING* text = ::ASN1_IA5STRING_new();
            HERD_ASSERT(::ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())) == 1);
            ::GENERAL_NAME_set0_value(one, GEN_DNS, text);
        }
        HERD_ASSERT(sk_GENERAL_NAME_push(all.get(), one) > 0);
    }
    ::ERR_clear_error(); // a name that is no address leaves a complaint behind
    HERD_ASSERT(::X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) == 1);
}

template <class Write>
std::string pem(Write write)
{
    const Bio memory(::BIO_new(::BIO_s_mem()));
    HERD_ASSERT(write(memory.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

} // namespace

TlsContext::~TlsContext() { ::SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsFiles& files)
{
    ::ERR_clear_error();
    std::shared_ptr<TlsContext> made(new TlsContext(::SSL_CTX_new(::TLS_server_method())));
    ::SSL_CTX* context = made->context_;
    HERD_ASSERT(context != nullptr);
    set_common(context);
    ::SSL_CTX_set_default_passwd_cb(context, no_pass_phrase);
    ::SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    if (::SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
        return refuse("tls.cert: cannot use the certificate in " + files.certificate);
    }
    if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return refuse("tls.key: cannot use the key in " + files.key + " with that certificate");
    }
    if (!files.client_ca.empty()) {
        if (::SSL_CTX_load_verify_locations(context, files.client_ca.c_str(), nullptr) != 1) {
            return refuse("tls.client_ca: cannot read " + files.client_ca);
        }
        ::SSL_CTX_set_client_CA_list(context, ::SSL_load_client_CA_file(files.client_ca.c_str()));
        ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
        static constexpr std::string_view name = "herd";
        (void)::SSL_CTX_set_session_id_context(context, bytes_of(name).data(), name.size());
    }
    made->fingerprint_ = digest_of(::SSL_CTX_get0_certificate(context));
    return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::server_of(std::string_view certificate, std::string_view key)
{
    ::ERR_clear_error();
    std::shared_ptr<TlsContext> made(new TlsContext(::SSL_CTX_new(::TLS_server_method())));
    ::SSL_CTX* context = made->context_;
    HERD_ASSERT(context != nullptr);
    set_common(context);
    ::SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    const Certificate own(::PEM_read_bio_X509(bio_of(certificate).get(), nullptr, nullptr, nullptr));
    const Key secret(::PEM_read_bio_PrivateKey(bio_of(key).get(), nullptr, no_pass_phrase, nullptr));
    if (!own || !secret || ::SSL_CTX_use_certificate(context, own.get()) != 1
        || ::SSL_CTX_use_PrivateKey(context, secret.get()) != 1) {
        return refuse("the certificate or its key cannot be used");
    }
    made->fingerprint_ = digest_of(own.get());
    return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const std::string& ca_file)
{
    ::ERR_clear_error();
    std::shared_ptr<TlsContext> made(new TlsContext(::SSL_CTX_new(::TLS_client_method())));
    ::SSL_CTX* context = made->context_;
    HERD_ASSERT(context != nullptr);
    set_common(context);
    static constexpr std::array<unsigned char, 9> protocol{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    (void)::SSL_CTX_set_alpn_protos(context, protocol.data(), protocol.size());
    if (ca_file.empty()) {
        (void)::SSL_CTX_set_default_verify_paths(context);
    } else if (::SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) != 1) {
        return refuse("tls.ca_file: cannot read certificates from " + ca_file);
    } else {
        // A certificate that is listed itself is trusted, whoever signed it.
        (void)::X509_VERIFY_PARAM_set_flags(::SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    }
    return made;
}

SelfSigned make_self_signed(const std::vector<std::string>& names, base::WallTime now)
{
    const KeyContext generator(::EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    HERD_ASSERT(::EVP_PKEY_keygen_init(generator.get()) == 1);
    HERD_ASSERT(::EVP_PKEY_CTX_set_group_name(generator.get(), "P-256") == 1);
    ::EVP_PKEY* generated = nullptr;
    HERD_ASSERT(::EVP_PKEY_generate(generator.get(), &generated) == 1);
    const Key key(generated);

    const Certificate certificate(::X509_new());
    ::X509* c = certificate.get();
    HERD_ASSERT(::X509_set_version(c, X509_VERSION_3) == 1);
    std::array<unsigned char, 16> serial{};
    random_bytes(serial);
    serial[0] = static_cast<unsigned char>((serial[0] & 0x3F) | 0x40); // positive, and of full length
    ::BIGNUM* number = ::BN_bin2bn(serial.data(), serial.size(), nullptr);
    HERD_ASSERT(::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(c)) != nullptr);
    ::BN_free(number);
    const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
    constexpr std::time_t day = 24 * 60 * 60;
    // A day of grace for peers whose clocks are behind.
    HERD_ASSERT(::ASN1_TIME_set(::X509_getm_notBefore(c), seconds - day) != nullptr);
    HERD_ASSERT(::ASN1_TIME_set(::X509_getm_notAfter(c), seconds + 3650 * day) != nullptr);
    HERD_ASSERT(::X509_set_pubkey(c, key.get()) == 1);
    ::X509_NAME* subject = ::X509_get_subject_name(c);
    const std::string common = names.empty() ? "herd" : names.front().substr(0, 64);
    HERD_ASSERT(::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, bytes_of(common).data(),
                                             static_cast<int>(common.size()), -1, 0)
                == 1);
    HERD_ASSERT(::X509_set_issuer_name(c, subject) == 1);
    add_extension(c, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(c, NID_key_usage, "critical,digitalSignature");
    add_extension(c, NID_ext_key_usage, "serverAuth");
    add_extension(c, NID_subject_key_identifier, "hash");
    add_extension(c, NID_authority_key_identifier, "keyid:always");
    if (!names.empty()) {
        add_names(c, names);
    }
    HERD_ASSERT(::X509_sign(c, key.get(), ::EVP_sha256()) > 0);
    return {pem([c](::BIO* out) { return ::PEM_write_bio_X509(out, c); }), pem([&key](::BIO* out) {
                return ::PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
            })};
}

Result<Digest> fingerprint_of(std::string_view certificate)
{
    const Certificate read(::PEM_read_bio_X509(bio_of(certificate).get(), nullptr, no_pass_phrase, nullptr));
    if (!read) {
        ::ERR_clear_error();
        return base::fail(base::Errc::malformed, "not a certificate in PEM");
    }
    return digest_of(read.get());
}

} // namespace herd::net
