"""What Apple refuses about a request before it looks at the device, in Apple's words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

Refusal = tuple[int, str]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_PUSH_TYPES = {
    "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location",
    "mdm", "pushtotalk", "voip", "widgets",
}  # fmt: skip
_SUFFIXES = {
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
}
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came. `connection` counts the connections, from 0."""

    token: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    stream_id: int

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


def refusal(request: Request, names: Sequence[str], topics: frozenset[str]) -> Refusal | None:
    """What is wrong with path, headers and payload; `topics` are the apps, empty for any.

    `names` are the headers' names as they came, which the mapping has only once each.
    """
    headers = request.headers
    if headers.get(":method") != "POST":
        return 405, "MethodNotAllowed"
    if not headers.get(":path", "").startswith("/3/device/"):
        return 404, "BadPath"
    if len(request.body) > (5120 if headers.get("apns-push-type") == "voip" else 4096):
        return 413, "PayloadTooLarge"
    reason = "DuplicateHeaders" if len(set(names)) < len(names) else None
    reason = reason or _header(headers) or _topic(headers, topics) or _rest(request)
    return None if reason is None else (400, reason)


def _rest(request: Request) -> str | None:
    if not request.token:
        return "MissingDeviceToken"
    if not _HEX.fullmatch(request.token):
        return "BadDeviceToken"
    return None if request.body else "PayloadEmpty"


def _header(headers: Mapping[str, str]) -> str | None:
    push_type = headers.get("apns-push-type", "alert")
    priorities = {"1", "5"} if push_type == "background" else {"1", "5", "10"}
    if "apns-id" in headers and not _UUID.fullmatch(headers["apns-id"]):
        return "BadMessageId"
    if not re.fullmatch("[0-9]{1,10}", headers.get("apns-expiration", "0")):
        return "BadExpirationDate"
    if headers.get("apns-priority", "5") not in priorities:
        return "BadPriority"
    if len(headers.get("apns-collapse-id", "").encode()) > 64:
        return "BadCollapseId"
    return None if push_type in _PUSH_TYPES else "InvalidPushType"


def _topic(headers: Mapping[str, str], topics: frozenset[str]) -> str | None:
    topic = headers.get("apns-topic", "")
    if not topic:
        return "MissingTopic" if "authorization" in headers else None
    suffix = _SUFFIXES.get(headers.get("apns-push-type", ""), "")
    if not topic.endswith(suffix):
        return "BadTopic"
    app = topic.removesuffix(suffix) if suffix else topic
    return None if not topics or app in topics else "TopicDisallowed"


@dataclass(slots=True, kw_only=True)
class Tokens:
    """What APNs thinks of provider tokens. `keys` are the public keys by key id: with none, any
    signature will do. With `strict_updates`, a second new token within 20 minutes is refused."""

    clock: Callable[[], float]
    keys: Mapping[str, ec.EllipticCurvePublicKey] = field(default_factory=dict)
    strict_updates: bool = False
    _good: dict[str, tuple[str, float]] = field(default_factory=dict)
    _current: dict[str, tuple[str, float]] = field(default_factory=dict)

    def refusal(self, header: str | None) -> Refusal | None:
        if header is None:
            return 403, "MissingProviderToken"
        if header not in self._good and not self._read(header):
            return 403, "InvalidProviderToken"
        key_id, issued_at = self._good[header]
        now = self.clock()
        if now - issued_at > _HOUR:
            return 403, "ExpiredProviderToken"
        current, since = self._current.get(key_id, ("", 0.0))
        if header != current:
            if self.strict_updates and now - since < _HOUR / 3:
                return 429, "TooManyProviderTokenUpdates"
            self._current[key_id] = header, now
        return None

    def _read(self, header: str) -> bool:
        """Whether it is a token of one of the keys, which is then remembered."""
        scheme, _, token = header.partition(" ")
        try:
            key_id = str(jwt.get_unverified_header(token)["kid"])
            claims = jwt.decode(
                token,
                self.keys[key_id] if self.keys else "",
                algorithms=["ES256"],
                options={"require": ["iss", "iat"], "verify_signature": bool(self.keys)},
            )
        except (jwt.InvalidTokenError, KeyError):
            return False
        if scheme.lower() != "bearer" or not isinstance(claims.get("iat"), int):
            return False
        self._good[header] = key_id, float(claims["iat"])
        return True
