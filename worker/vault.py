"""Secrets at rest: AES-256-GCM, bound to the place where they are stored.

What is sealed for one place does not open at another, so a ciphertext that somebody moves from one
application's row to another's is worthless. Several keys may be known: the first seals, all open,
which is what makes changing keys possible without an outage.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NO_KEYS = (
    "There is no key to encrypt credentials with. Set SENDPOINT_SECRET_KEYS to what "
    "`sendpoint secrets new-key` prints, the same in every process"
)

_FORMAT = "v1"
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Key:
    """A key of 32 bytes and the name by which what it sealed remembers it."""

    name: str
    value: bytes = field(repr=False)


class Vault:
    """Seals and opens with `keys`, the first of which seals.

    Without any, the keys are those in `file`, which is made with a new key, for its owner's eyes
    only, when something is to be sealed for the first time.
    """

    def __init__(self, keys: Sequence[Key] = (), file: Path | None = None) -> None:
        self._keys = tuple(keys)
        self._file = file

    def seal(self, plain: bytes, *, place: str) -> str:
        """The text to store. `place` says where, and has to be the same to open it. `ValueError`
        if there is no key."""
        key = (self._known() or self._make())[0]
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(key.value).encrypt(nonce, plain, place.encode())
        return f"{_FORMAT}.{key.name}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, text: str, *, place: str) -> bytes:
        """What was sealed. `ValueError` if the key is not known or the text belongs elsewhere."""
        version, _, rest = text.partition(".")
        name, _, sealed = rest.partition(".")
        if version != _FORMAT:
            raise ValueError(f"{place}: is not something that Sendpoint sealed")
        key = self._key(name, place)
        data = base64.urlsafe_b64decode(sealed)
        try:
            return AESGCM(key.value).decrypt(data[:_NONCE], data[_NONCE:], place.encode())
        except InvalidTag:
            raise ValueError(
                f"{place}: does not open; it was changed, or belongs elsewhere"
            ) from None

    def mac(self, plain: bytes, *, place: str) -> str:
        """The text to store of something that has to be recognised and never read. Without the key
        nobody can try out what it may be. `place` binds it; `ValueError` if there is no key."""
        key = (self._known() or self._make())[0]
        return f"{_FORMAT}.{key.name}.{_mac(key, plain, place).hex()}"

    def is_mac(self, text: str, plain: bytes, *, place: str) -> bool:
        """Whether `mac` made the text of this, in a time that says nothing of how near it comes.
        `ValueError` if the key is not known."""
        _, name, told = text.split(".")
        return hmac.compare_digest(_mac(self._key(name, place), plain, place).hex(), told)

    def is_current(self, text: str) -> bool:
        """Whether the text was sealed with the key that seals now."""
        known = self._known()
        return bool(known) and text.split(".")[1] == known[0].name

    def _key(self, name: str, place: str) -> Key:
        key = next((key for key in self._known() if key.name == name), None)
        if key is None:
            raise ValueError(
                f"{place}: was sealed with the key {name!r}, which is not known here: "
                "SENDPOINT_SECRET_KEYS needs it"
            )
        return key

    def _known(self) -> tuple[Key, ...]:
        if not self._keys and self._file is not None and self._file.exists():
            self._keys = parse(self._file.read_text())
        return self._keys

    def _make(self) -> tuple[Key, ...]:
        if self._file is None:
            raise ValueError(NO_KEYS)
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(new_key() + "\n")
        except OSError as error:
            raise ValueError(f"{NO_KEYS} ({self._file}: {error.strerror})") from error
        return self._known()


def _mac(key: Key, plain: bytes, place: str) -> bytes:
    """With a key of its own, drawn from the one that seals: no key has two uses."""
    derived = hmac.digest(key.value, b"sendpoint mac", "sha256")
    return hmac.digest(derived, place.encode() + b"\0" + plain, "sha256")


def new_key() -> str:
    """A new key as settings write it, `NAME:BASE64`."""
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def parse(text: str) -> tuple[Key, ...]:
    """The keys `NAME:BASE64`, separated by commas or lines. `ValueError` shows none of them."""
    keys = []
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        name, _, value = part.strip().partition(":")
        try:
            key = Key(name, base64.b64decode(value, validate=True))
        except binascii.Error:
            key = Key(name, b"")
        if len(key.value) != 32 or not name.isalnum():
            raise ValueError("secret_keys must be NAME:BASE64 of 32 bytes, separated by commas")
        keys.append(key)
    return tuple(keys)
