"""A signed POST to somebody's own server (Standard Webhooks, https://www.standardwebhooks.com), and
to none behind our walls."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yarl

from adapters import addresses, http

_OWN_HEADERS = re.compile(
    r"host|content-.*|transfer-encoding|connection|webhook-.*|expect|accept-encoding", re.IGNORECASE
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")


class ForbiddenAddressError(OSError):
    """The host's address is not one that may be connected to."""


class SignedPost:
    """Kept connections to one `url`.

    `secret` is `whsec_` and 24 to 64 bytes in base64; several, parted by spaces, while one replaces
    another; without one nothing is signed. `headers` go along with every request. `allow_private`
    are the networks (CIDR) outside the public Internet that may be connected to; a plain `http` URL
    is connected to within these only. The check is made on the address of the socket itself, so
    neither a name nor a way to write an address gets around it.

    Redirects are not followed, cookies not kept, proxies of the environment not used.
    `hidden` is what an answer must not be shown with, the longest first: a receiver may well repeat
    what it was sent, and the path of its URL is often all the secret there is.
    ValueError names the setting that is wrong and never shows a secret.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        connections: int = 50,
        allow_private: Sequence[str] = (),
    ) -> None:
        self._allowed = addresses.networks(allow_private)
        self._url = _checked_url(url, self._allowed)
        self._keys = _checked_keys(secret)
        own = _checked_headers(headers or {})
        named = {name.lower() for name in own}
        usual = {name: text for name, text in http.HEADERS.items() if name.lower() not in named}
        self._headers = {**usual, **own, "Content-Type": "application/json"}
        self.hidden = _hidden(self._url, [*(secret or "").split(), *own.values()])
        self._connections = http.Connections(
            connections=connections,
            socket_factory=self._guarded_socket,
        )

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._connections.closed

    async def post(
        self,
        message_id: str,
        body: bytes,
        *,
        deadline: float,
        headers: Mapping[str, str] | None = None,
    ) -> http.Reply:
        """One POST of JSON until `deadline`, in the loop's time. A receiver can drop a repetition
        by its `message_id`. Raises `http.NoAnswer`."""
        timestamp = str(int(time.time()))
        sent = {**self._headers, "webhook-id": message_id, "webhook-timestamp": timestamp}
        if headers:
            sent |= headers
        if self._keys:
            sent["webhook-signature"] = _signature(self._keys, message_id, timestamp, body)
        return await self._connections.request(
            "POST", self._url, data=body, headers=sent, deadline=deadline
        )

    async def aclose(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        await self._connections.aclose()

    def _guarded_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """What aiohttp calls for a socket for each address it is about to connect to."""
        family, kind, protocol, _, sockaddr = info
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        if not addresses.permitted(address, self._allowed, plain=self._url.scheme == "http"):
            raise ForbiddenAddressError("address not allowed")
        return socket.socket(family=family, type=kind, proto=protocol)


def _signature(keys: Sequence[bytes], message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _hidden(url: yarl.URL, secrets: Sequence[str]) -> tuple[str, ...]:
    whole = (
        *(url.path, url.raw_path, url.query_string, url.raw_query_string),
        *(*url.query.values(), *secrets),
    )
    words = (*url.parts, *(word for secret in secrets for word in secret.split()))
    telling = {each for each in whole if len(each) > 3} | {word for word in words if len(word) > 7}
    return tuple(sorted(telling, key=len, reverse=True))


def _checked_url(url: str, allowed: Sequence[addresses.Network]) -> yarl.URL:
    try:
        parsed = yarl.URL(url)
    except ValueError:
        raise ValueError("url is not a URL") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError("url must begin with https:// and name a host")
    if parsed.user is not None or parsed.password is not None or parsed.fragment:
        raise ValueError("url must have no user, password or fragment: use headers")
    if parsed.scheme == "http" and not allowed:
        raise ValueError("url must begin with https://, or allow_private name its network")
    return parsed


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("headers must have plain names, and values of printable ASCII")
        if _OWN_HEADERS.fullmatch(name):
            raise ValueError(f"headers must not set {name.lower()}, the webhook's own")
    return dict(headers)


def _checked_keys(secret: str | None) -> tuple[bytes, ...]:
    keys = []
    for text in (secret or "").split():
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise ValueError("secret must be whsec_ and 24 to 64 bytes in base64")
        keys.append(key)
    if secret is not None and not keys:
        raise ValueError("secret must be whsec_ and 24 to 64 bytes in base64")
    return tuple(keys)
