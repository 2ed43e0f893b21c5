"""What goes over an HTTP/2 connection to APNs: a push, its answer, and the frames between.

`H2` is h2's connection with three of its habits changed. It reaches into h2's state machine, so
h2's version is pinned below the next minor one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aioapns.common import NotificationRequest, NotificationResult
from h2.config import H2Configuration
from h2.connection import (
    ConnectionInputs,
    ConnectionState,
    H2Connection,
    H2ConnectionStateMachine,
)
from hpack import Encoder, HeaderTuple, NeverIndexedHeaderTuple

# hpack writes every header to the debug log: provider tokens and device tokens.
logging.getLogger("hpack").setLevel(logging.INFO)

_REASON = re.compile(r"[A-Za-z]{1,64}")  # so that it can repeat no token


class NotProcessed(Exception):
    """The provider has not processed the request: it is safe to send it again."""


class NoAnswer(Exception):
    """The request left and no answer came: the provider may have processed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one connection; times in seconds. `streams` bounds what the provider allows.

    After `quiet` without a sign of the provider it is pinged, and has `patience` to answer. When a
    send is given up that has waited for `deaf` or longer without any sign, or from `age` on, the
    connection takes no more requests; `parting` bounds TLS's farewell.
    """

    streams: int = 500
    connect: float = 15.0
    quiet: float = 30.0
    patience: float = 10.0
    deaf: float = 1.0
    age: float = 3600.0
    parting: float = 1.0


class Push(NotificationRequest):
    """A request as it goes out. `body` is the encoded message, `expiration` the header's value.

    Who sends it notes what was done: `left` says that it is out of our hands whole,
    `authorization` with which header.
    """

    __slots__ = ("authorization", "body", "expiration", "left")

    def __init__(
        self,
        device_token: str,
        body: bytes,
        *,
        notification_id: str,
        topic: str,
        push_type: str,
        priority: int,
        expiration: int | None = None,
        collapse_id: str | None = None,
    ) -> None:
        super().__init__(
            device_token, {}, notification_id, None, priority, collapse_id, apns_topic=topic
        )
        self.push_type: str = push_type  # type: ignore[assignment]  # the original's enum is short
        self.body = body
        self.expiration = expiration
        self.left = False
        self.authorization: str | None = None

    def headers(self, authority: bytes) -> list[HeaderTuple]:
        """Apple: what differs from push to push, and the token, is not to fill the header table.

        `authority` is `:authority`; the original sends `host`, which some servers do not take.
        """
        headers = [
            HeaderTuple(b":method", b"POST"),
            HeaderTuple(b":scheme", b"https"),
            NeverIndexedHeaderTuple(b":path", b"/3/device/" + self.device_token.encode()),
            HeaderTuple(b":authority", authority),
            NeverIndexedHeaderTuple(b"apns-id", self.notification_id.encode()),
            HeaderTuple(b"apns-topic", (self.apns_topic or "").encode()),
            HeaderTuple(b"apns-push-type", self.push_type.encode()),
            HeaderTuple(b"apns-priority", str(self.priority).encode()),
        ]
        if self.expiration is not None:
            value = str(self.expiration).encode()
            headers.append(NeverIndexedHeaderTuple(b"apns-expiration", value))
        if self.collapse_key is not None:
            value = self.collapse_key.encode()
            headers.append(NeverIndexedHeaderTuple(b"apns-collapse-id", value))
        if self.authorization is not None:
            value = self.authorization.encode()
            headers.append(NeverIndexedHeaderTuple(b"authorization", value))
        return headers


class Answer(NotificationResult):
    """What APNs said. `code` is the HTTP status; `description` its reason, None if there is none
    that can be read; `timestamp` is in milliseconds of Unix time."""

    __slots__ = ("code", "retry_after")

    def __init__(self, headers: Mapping[bytes, bytes], body: bytes) -> None:
        def value(name: bytes) -> str:
            return headers.get(name, b"").decode("ascii", "replace")

        reason, timestamp = _said(body)
        super().__init__(value(b"apns-id"), value(b":status"), reason, timestamp)
        self.code = int(self.status) if re.fullmatch("[0-9]{3}", self.status) else 0
        self.retry_after = value(b"retry-after") or None


class H2(H2Connection):
    """A client's connection that lets accepted streams go on after GOAWAY (RFC 9113 6.8), and
    encodes headers without checking what we wrote ourselves."""

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.state_machine = _StateMachine()
        self.encoder = _Encoder()
        self._tidy_at = 0

    def clear_outbound_data_buffer(self) -> None:
        """At GOAWAY h2 throws away what waits, but it may belong to a stream that goes on."""

    def _open_streams(self, remainder: int) -> int:
        """h2 looks at every stream each time that one is opened, to count and to tidy up. The
        limits are kept by `Connection`, so it is enough to tidy up now and then."""
        if len(self.streams) < self._tidy_at:
            return 0
        count = super()._open_streams(remainder)
        self._tidy_at = 2 * count + 64
        return count


class _StateMachine(H2ConnectionStateMachine):
    _transitions = {
        **H2ConnectionStateMachine._transitions,  # noqa: SLF001  # there is no setting for it
        (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (
            None,
            ConnectionState.CLIENT_OPEN,
        ),
    }


class _Encoder(Encoder):
    """Without Huffman coding: most bytes are literals, and coding them in Python costs more than
    all the rest of a send."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)


def reason(body: bytes | None) -> str | None:
    """The reason in a JSON body of APNs, if there is one that can be read."""
    return _said(body or b"")[0]


def _said(body: bytes) -> tuple[str | None, int | None]:
    try:
        said = json.loads(body) if body else None
    except ValueError:
        return None, None
    if not isinstance(said, dict):
        return None, None
    word, time = said.get("reason"), said.get("timestamp")
    return (
        word if isinstance(word, str) and _REASON.fullmatch(word) else None,
        time if isinstance(time, int) and not isinstance(time, bool) and time > 0 else None,
    )
