"""What goes to APNs and comes from it: aioapns' request and result, as HTTP/2 carries them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from aioapns.common import NotificationRequest, NotificationResult

from adapters import http2
from adapters import http2_frames as frames

_REASON = re.compile(r"[A-Za-z]{1,64}")  # so that it can repeat no token
_LAST_TIMESTAMP = 253_402_300_799_999  # the end of the year 9999, which is the calendar's


class Push(NotificationRequest):
    """A request as it goes out. `body` is the encoded message, `expiration` the header's value."""

    __slots__ = ("body", "expiration", "request")

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
        self.request: http2.Request | None = None

    @property
    def left(self) -> bool:
        """Whether it is out of our hands whole."""
        return self.request is not None and self.request.left

    def written(self, authority: str, authorization: str | None) -> http2.Request:
        """It as a request to a host, from now on the one that `left` is about."""
        first, last = _common(
            authority, authorization, self.apns_topic or "", self.push_type, self.priority
        )
        block = [
            first,
            frames.field(b":path", b"/3/device/" + self.device_token.encode()),
            last,
            frames.field(b"apns-id", self.notification_id.encode()),
        ]
        if self.expiration is not None:
            block.append(frames.field(b"apns-expiration", str(self.expiration).encode()))
        if self.collapse_key is not None:
            block.append(frames.field(b"apns-collapse-id", self.collapse_key.encode()))
        self.request = http2.Request(b"".join(block), self.body)
        return self.request


class Answer(NotificationResult):
    """What APNs said. `code` is the HTTP status; `description` its reason, None if there is none
    that can be read; `timestamp` is in milliseconds of Unix time."""

    __slots__ = ("code", "retry_after")

    def __init__(self, answer: http2.Answer) -> None:
        def value(name: bytes) -> str:
            return answer.headers.get(name, b"").decode("ascii", "replace")

        why, timestamp = _said(answer.body)
        super().__init__(value(b"apns-id"), value(b":status"), why, timestamp)
        self.code = answer.status
        self.retry_after = value(b"retry-after") or None


def reason(body: bytes) -> str | None:
    """The reason in a JSON body of APNs, if there is one that can be read."""
    return _said(body)[0]


@functools.lru_cache(maxsize=256)
def _common(
    authority: str, authorization: str | None, topic: str, push_type: str, priority: int
) -> tuple[bytes, bytes]:
    """The header fields that most pushes share: those before the path, and those after it."""
    first: Mapping[bytes, str] = {b":method": "POST", b":scheme": "https", b":authority": authority}
    last = {b"apns-topic": topic, b"apns-push-type": push_type, b"apns-priority": str(priority)}
    if authorization is not None:
        last[b"authorization"] = authorization
    return _block(first), _block(last)


def _block(fields: Mapping[bytes, str]) -> bytes:
    return frames.block((name, value.encode()) for name, value in fields.items())


def _said(body: bytes) -> tuple[str | None, int | None]:
    try:
        said: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(said, dict):
        return None, None
    word, time = said.get("reason"), said.get("timestamp")
    return (
        word if isinstance(word, str) and _REASON.fullmatch(word) else None,
        time if type(time) is int and 0 < time <= _LAST_TIMESTAMP else None,
    )
