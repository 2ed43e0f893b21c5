"""How a channel proves itself to APNs: a provider token (JWT) or a client certificate (TLS)."""

from __future__ import annotations

import functools
import re
import secrets
import ssl
import tempfile
import time
from collections.abc import Callable
from datetime import datetime

import jwt
from aioapns.connection import AuthorizationHeaderProvider
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = 50 * 60.0  # Apple: a token is good for an hour,
_YOUTH = 20 * 60.0  # and may be replaced once in 20 minutes.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL
)


class ProviderToken(AuthorizationHeaderProvider):
    """The `authorization` header of one key: signed when it is needed, used until it is old.

    `clock` tells Unix time. ValueError if `key` is not what Apple gives out.
    """

    def __init__(
        self, key: str, key_id: str, team_id: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = _p256(key)
        self._key_id = key_id
        self._team_id = team_id
        self._clock = clock
        self._header = ""
        self._issued_at = 0.0

    def get_header(self) -> str:
        """The header's value. The same one for 50 minutes."""
        age = self._clock() - self._issued_at
        if not self._header or not 0 <= age < _LIFE:
            self._sign()
        return self._header

    def refresh(self, rejected: str) -> bool:
        """Whether there is another header now than the one APNs has found expired.

        Apple: more than one new token in 20 minutes is TooManyProviderTokenUpdates. So of many
        sends that are refused together the first signs anew, and the others find it done.
        """
        if rejected == self._header and self._clock() - self._issued_at >= _YOUTH:
            self._sign()
        return rejected != self._header

    def _sign(self) -> None:
        now = self._clock()
        claims = {"iss": self._team_id, "iat": int(now)}
        token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
        self._header = f"bearer {token}"
        self._issued_at = now


@functools.lru_cache(maxsize=1024)
def provider_token(
    key: str, key_id: str, team_id: str, clock: Callable[[], float] = time.time
) -> ProviderToken:
    """The process's one token of a key: adapters that are made anew, and other applications of the
    same team, must not make APNs see a new token each time."""
    return ProviderToken(key, key_id, team_id, clock=clock)


def tls_context(
    ca_file: str | None, *, certificate: str | None = None, private_key: str | None = None
) -> ssl.SSLContext:
    """A client's context that asks for HTTP/2 and, given a certificate and its key (PEM), shows it.

    `ssl` reads keys from files only. The file it gets is private, gone before this returns, and
    holds the key encrypted with a password that is never written: nothing to find on a disk.
    ValueError names what is wrong and shows none of it.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ValueError("ca_file is not a file of certificates") from None
    context.set_alpn_protocols(["h2"])
    if certificate is None:
        return context
    password = secrets.token_bytes(32)
    chain = b"".join(
        each.public_bytes(serialization.Encoding.PEM) for each in _certificates(certificate)
    )
    key = _private_key(private_key or certificate, password)
    with tempfile.NamedTemporaryFile(prefix="apns-", suffix=".pem") as file:
        file.write(chain + key)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except ssl.SSLError:
            raise ValueError("private_key does not belong to certificate") from None
    return context


def topic_of(certificate: str) -> str | None:
    """The app that a certificate is for. Apple: the subject's user id."""
    names = _certificates(certificate)[0].subject.get_attributes_for_oid(NameOID.USER_ID)
    return str(names[0].value) if names else None


def expires_at(certificate: str) -> datetime:
    """When a certificate ends."""
    return _certificates(certificate)[0].not_valid_after_utc


def _p256(key: str) -> ec.EllipticCurvePrivateKey:
    try:
        loaded = serialization.load_pem_private_key(key.strip().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.curve.name != "secp256r1":
        raise ValueError("token_key must be the text of a .p8 file: a P-256 private key in PEM")
    return loaded


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("certificate must be certificates in PEM") from None


def _private_key(text: str, password: bytes) -> bytes:
    found = _PRIVATE_KEY.search(text)
    pem = found.group().encode() if found else b""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("private_key must be a key in PEM without a passphrase") from None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
