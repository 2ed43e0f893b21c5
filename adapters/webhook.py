"""CUSTOM: a signed POST to the receiver's own server (Standard Webhooks,
https://www.standardwebhooks.com).

Redirects (the URL has moved) and 410 (the receiver wants no more, says the standard) are the fault
of the channel's configuration, as 401 and 403 are. No answer says anything about the recipient's
address: one URL serves them all.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yarl

from adapters import addresses, answers, http
from adapters.contract import (
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    permanent,
    temporary,
)
from adapters.messages import Custom

_CONFIGURATION = DeliveryStatus.PERMANENT_FAILURE, Fault.CREDENTIALS
_LATER = DeliveryStatus.TEMPORARY_FAILURE, Fault.PROVIDER

BY_CODE = {
    401: _CONFIGURATION,
    403: _CONFIGURATION,
    408: _LATER,
    410: _CONFIGURATION,
    429: (DeliveryStatus.THROTTLED, Fault.PROVIDER),
}
BY_CLASS = {
    2: (DeliveryStatus.SUCCESSFUL, None),
    3: _CONFIGURATION,
    4: (DeliveryStatus.PERMANENT_FAILURE, Fault.MESSAGE),
    5: _LATER,
}
_OTHERS = DeliveryStatus.UNKNOWN_FAILURE, Fault.PROVIDER

_EXCERPT = 500
_OWN_HEADERS = re.compile(
    r"host|content-.*|transfer-encoding|connection|webhook-.*|expect|accept-encoding", re.IGNORECASE
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
_ADDRESS = re.compile(r"[^\s<>\"]+@[^\s<>\"]+")


class ForbiddenAddressError(OSError):
    """The host's address is not one that this webhook may connect to."""


class Webhook:
    """Posts each message as JSON to `url`: the event's own members beside `MessageId`, `RequestId`,
    `ApplicationId`, `ChannelType` and `Address`, which they can not replace.

    `secret` is `whsec_` and 24 to 64 bytes in base64; several, parted by spaces, while one replaces
    another. `headers` go along with every request. `timeout` bounds a delivery's own, in seconds.
    `allow_private` are the networks (CIDR) outside the public Internet that may be connected to;
    a plain `http` URL is connected to within these only. The check is made on the address of the
    socket itself, so neither a name nor a way to write an address gets around it.

    Redirects are not followed, cookies not kept, proxies of the environment not used.
    ValueError names the setting that is wrong and never shows a secret.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 15.0,
        connections: int = 50,
        allow_private: Sequence[str] = (),
    ) -> None:
        if timeout <= 0 or connections < 1:
            raise ValueError("timeout must be positive and connections at least 1")
        self._allowed = addresses.networks(allow_private)
        self._url = _checked_url(url, self._allowed)
        self._keys = _keys(secret)
        own = _checked_headers(headers or {})
        named = {name.lower() for name in own}
        usual = {name: text for name, text in http.HEADERS.items() if name.lower() not in named}
        self._headers = {**usual, **own, "Content-Type": "application/json"}
        self._timeout = timeout
        # A receiver may well repeat in its answer what it was sent.
        self._hidden = tuple(
            filter(None, (*(secret or "").split(), *own.values(), self._url.query_string))
        )
        self._connections = http.Connections(
            connections=connections,
            socket_factory=self._guarded_socket,
        )

    async def send(self, delivery: Delivery) -> Outcome:
        """One POST; its `webhook-id` is the delivery's id, so a receiver can drop a repetition."""
        if self._connections.closed:
            return temporary(503, "The adapter is closed")
        try:
            body = _payload(delivery)
        except (TypeError, ValueError):
            text = "The message can not be written as a JSON object"
            return permanent(400, text, fault=Fault.MESSAGE)
        timestamp = str(int(time.time()))
        headers = {**self._headers, "webhook-id": delivery.id, "webhook-timestamp": timestamp}
        if self._keys:
            headers["webhook-signature"] = _signature(self._keys, delivery.id, timestamp, body)
        deadline = asyncio.get_running_loop().time() + min(delivery.timeout, self._timeout)
        try:
            reply = await self._connections.request(
                "POST", self._url, data=body, headers=headers, deadline=deadline
            )
        except http.NoAnswer as trouble:
            return _no_answer(trouble)
        return _outcome(
            reply.status,
            self._shown(reply.body.decode("utf-8", "replace"), delivery.address),
            message_id=delivery.id,
            retry_after=answers.retry_after(reply.headers.get("Retry-After")),
        )

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._connections.aclose()

    def _guarded_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """What aiohttp calls for a socket for each address it is about to connect to."""
        family, kind, protocol, _, sockaddr = info
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        if not addresses.permitted(address, self._allowed, plain=self._url.scheme == "http"):
            raise ForbiddenAddressError("address not allowed")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _shown(self, text: str, address: str) -> str:
        for hidden in (*self._hidden, address):
            if hidden:
                text = text.replace(hidden, "***")
        text = _ADDRESS.sub("***", text[: 2 * _EXCERPT])
        return "".join(char if char.isprintable() else " " for char in text)[:_EXCERPT].strip()


def _payload(delivery: Delivery) -> bytes:
    if not isinstance(delivery.message, Custom):
        raise ValueError("not an event")  # noqa: TRY004  # a verdict on the message
    envelope = {
        "MessageId": delivery.id,
        "RequestId": delivery.request_id,
        "ApplicationId": delivery.application_id,
        "ChannelType": str(delivery.channel),
        "Address": delivery.address,
    }
    document = {**envelope, **delivery.message.data, **envelope}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _signature(keys: Sequence[bytes], message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _outcome(status: int, text: str, *, message_id: str, retry_after: float | None) -> Outcome:
    verdict, fault = BY_CODE.get(status) or BY_CLASS.get(status // 100) or _OTHERS
    return Outcome(
        status=verdict,
        status_code=status,
        status_message=text,
        message_id=message_id if fault is None else None,
        retry_after=retry_after if fault is Fault.PROVIDER else None,
        fault=fault,
    )


def _no_answer(trouble: http.NoAnswer) -> Outcome:
    cause = getattr(trouble.__cause__, "os_error", trouble.__cause__)
    if isinstance(cause, ForbiddenAddressError):
        text = "The webhook's host has an address that may not be connected to"
        return permanent(403, text, fault=Fault.CREDENTIALS)
    return http.unanswered("The webhook", trouble)


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


def _keys(secret: str | None) -> tuple[bytes, ...]:
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
