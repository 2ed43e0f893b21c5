"""An authority for the APNs double: certificates for the server and for its clients."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates; `ca_file`, in `folder`, is what a client needs to trust them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("APNs double's authority")
        certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(certificate)

    def server_context(self, *, ask_for_certificate: bool) -> ssl.SSLContext:
        """For 127.0.0.1 and localhost, speaking HTTP/2. A client's certificate is optional, for
        only without one APNs wants a provider token."""
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        certificate, key = self._issue(_named("APNs double"), names)
        both = self._folder / "server.pem"
        both.touch(mode=0o600)
        both.write_text(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        context.set_alpn_protocols(["h2"])
        if ask_for_certificate:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.ca_file)
        return context

    def client_certificate(self, topic: str) -> tuple[str, str]:
        """A certificate for an app, as Apple issues them, and its key: both PEM."""
        user_id = x509.NameAttribute(NameOID.USER_ID, topic)
        common_name = x509.NameAttribute(NameOID.COMMON_NAME, f"Apple Push Services: {topic}")
        return self._issue(
            x509.Name([user_id, common_name]), x509.BasicConstraints(ca=False, path_length=None)
        )

    def _issue(self, name: x509.Name, extension: x509.ExtensionType) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._sign(name, key, extension), pem.decode()

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> str:
        now = datetime.now(UTC)
        day = timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + 30 * day)
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(_PEM).decode()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
