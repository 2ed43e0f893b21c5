"""DKIM signatures (RFC 6376, RFC 8463). Pure.

Written by hand because of time: dkimpy's RSA is Python and takes 8 ms a message, holds the
interpreter meanwhile, and reads the key anew for each; OpenSSL takes 0.3 ms. dkimpy is who
verifies, in the tests.

Headers are canonicalized `relaxed`, since relays fold lines anew. The body is taken as it is
(`simple`): what `adapters.mime` writes has nothing that a relay would put right, and a long
attachment costs no more than its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from adapters import mime, mime_raw

Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# Named once more than they occur: another of these, put in later, breaks the signature.
_SEALED = (
    *(b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
# RFC 8058 wants List-Unsubscribe and List-Unsubscribe-Post to be signed.
_SIGNED = re.compile(rb"sender|in-reply-to|references|content-.*|list-.*|resent-.*")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_WHITE = re.compile(rb"[ \t]+")
_WIDTH = 70
_MOST_IN_THE_LOOP = 128 * 1024  # bytes: 0.4 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key, and where in the DNS its public half is: `{selector}._domainkey.{domain}`."""

    domain: str
    selector: str
    key: Key = field(repr=False)


def signer(*, domain: str, selector: str, private_key: str) -> Signer:
    """`private_key` is PEM without a passphrase: RSA of 1024 bits or more, or Ed25519. ValueError
    names the setting that is wrong, and quotes no key.
    """
    try:
        checked = mime.domain(domain)
    except ValueError as error:
        raise ValueError(f"dkim_domain is {error}") from None
    if not _SELECTOR.fullmatch(selector) or ".." in selector:
        raise ValueError("dkim_selector must be letters, digits, hyphens and dots, such as s1")
    return Signer(domain=checked, selector=selector, key=_key(private_key))


def signed(data: bytes, signer: Signer, *, now: int) -> bytes:
    """The message (whole, CRLF line ends) with a DKIM-Signature on top. `now` is Unix time."""
    fields, body = mime_raw.split(data)
    names, lines = _hashed(fields)
    words = [
        "v=1;",
        f"a={'rsa' if isinstance(signer.key, rsa.RSAPrivateKey) else 'ed25519'}-sha256;",
        "c=relaxed/simple;",
        f"d={signer.domain};",
        f"s={signer.selector};",
        f"t={now};",
        *f"h={': '.join(names)};".split(" "),
        f"bh={_base64(_body_hash(body))};",
    ]
    header = f"dkim-signature:{' '.join(words)} b="
    value = _base64(_signature(signer.key, b"".join(lines) + header.encode()))
    first, *rest = [value[at : at + _WIDTH] for at in range(0, len(value), _WIDTH)]
    return mime.fold("DKIM-Signature", [*words, f"b={first}", *rest]).encode() + b"\r\n" + data


def is_slow(data: bytes, signer: Signer) -> bool:
    """Whether signing takes too much of a loop's turn (more than about 0.5 ms), and belongs in a
    thread, where OpenSSL lets the interpreter go. A signature takes 0.06 ms with Ed25519, 0.3 with
    RSA of 2048 bits, 2 with 4096.
    """
    slow_key = isinstance(signer.key, rsa.RSAPrivateKey) and signer.key.key_size > 2048
    return slow_key or len(data) > _MOST_IN_THE_LOOP


def _key(private_key: str) -> Key:
    try:
        key = serialization.load_pem_private_key(private_key.strip().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        raise ValueError("dkim_private_key must be a PEM private key with no passphrase") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 1024:
        raise ValueError("dkim_private_key must have 1024 bits or more; 2048 is usual")
    if not isinstance(key, Key):
        raise ValueError("dkim_private_key must be an RSA or an Ed25519 key")  # noqa: TRY004
    return key


def _hashed(fields: list[tuple[bytes, bytes]]) -> tuple[list[str], list[bytes]]:
    """The names for `h=`, and the canonical fields they stand for: the last of a name first."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        unfolded = _WHITE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
        found.setdefault(name.lower(), []).append(unfolded)
    others = [name for name in found if name not in _SEALED and _SIGNED.fullmatch(name)]
    names, lines = [], []
    for name in (*_SEALED, *others):
        values = found.get(name, [])
        names += [name.decode()] * (len(values) + (name in _SEALED))
        lines += [name + b":" + value + b"\r\n" for value in reversed(values)]
    return names, lines


def _body_hash(body: bytes) -> bytes:
    """RFC 6376, 3.4.3: however many line ends there are at the end, they count as one."""
    return hashlib.sha256(body.rstrip(b"\r\n") + b"\r\n").digest()


def _signature(key: Key, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(hashlib.sha256(data).digest())  # RFC 8463: it is the hash that is signed


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
