"""Certificates of a test's own making: an authority, and what it signs."""
import ssl
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates for names and addresses. Everything lies in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self.key = folder / "ca.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=test authority",
                 "-keyout", self.key, "-out", self.file, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.count = 0

    def certificate(self, *names, usage="serverAuth"):
        """(certificate file, key file)"""
        self.count += 1
        stem = self.folder / ("cert-%d" % self.count)
        key, request, certificate, more = (stem.with_suffix(suffix) for suffix in (".key", ".csr", ".pem", ".ext"))
        alternatives = ",".join(("IP:" if name.replace(".", "").isdigit() or ":" in name else "DNS:") + name for name in names)
        more.write_text("subjectAltName=%s\nextendedKeyUsage=%s\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n" % (alternatives, usage))
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + names[0], "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days", "30", "-extfile", more, "-out", certificate)
        return certificate, key

    def server_context(self, *names):
        """For a server of the test's own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(*names))
        return context

    def client_context(self):
        return ssl.create_default_context(cafile=str(self.file))


def fingerprint(certificate_file):
    """SHA-256 of a certificate, in hex."""
    import hashlib
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(open(certificate_file).read())).hexdigest()
