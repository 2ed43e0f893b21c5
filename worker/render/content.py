"""What a message says to one recipient: whose words win, field by field.

The highest first (Pinpoint): the recipient's RawContent, the channel message's RawContent, the
recipient's BodyOverride and TitleOverride, the channel message, DefaultPushNotificationMessage
(push only), DefaultMessage. An empty text is as good as none, so that a caller who always sends
every member does not blank what it meant to inherit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from worker import wire
from worker.render import errors, substitute
from worker.render.variables import Variables

T = TypeVar("T")

PushMessage = wire.APNSMessage | wire.GCMMessage | wire.ADMMessage | wire.BaiduMessage

NO_DEFAULT = wire.DefaultMessage()
NO_DEFAULT_PUSH = wire.DefaultPushNotificationMessage()

MAX_RAW = 256_000
"""Characters of a RawContent. Ours: more is never what fits into a push, and takes long to read."""

_QUOTED = re.compile(
    r""""(?:[^"\\]|\\.)*(?:"|\Z)|'(?P<single>(?:[^'\\]|\\.)*)(?:'|\Z)""", re.DOTALL
)
_QUOTE = re.compile(r'\\.|"', re.DOTALL)


class Substituted(Protocol):
    """A message that has variables of its own."""

    @property
    def Substitutions(self) -> dict[str, list[str]] | None: ...  # noqa: N802  Pinpoint's own name


@dataclass(slots=True, kw_only=True)
class Push:
    """What a push says, whichever channel it goes to. Texts that nobody gave are empty.

    `url` is empty unless a tap opens it, and then `action` says how. `extras` are what the caller
    wants the app to be told beside the content: Context and TraceId.
    """

    title: str = field(repr=False)
    body: str = field(repr=False)
    action: wire.Action
    url: str
    data: dict[str, str]
    silent: bool
    extras: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell the app or its user."""
        return not (self.title or self.body or self.data or self.silent)


def push(
    message: PushMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    fill: substitute.Fill,
) -> Push:
    """The channel message laid over the default messages, the recipient's overrides over both."""
    default_push = request.MessageConfiguration.DefaultPushNotificationMessage or NO_DEFAULT_PUSH
    default = request.MessageConfiguration.DefaultMessage or NO_DEFAULT
    body = recipient.BodyOverride or message.Body or default_push.Body or default.Body
    url = fill.text(message.Url or default_push.Url or "")
    action = message.Action or default_push.Action or wire.Action.OPEN_APP
    if not url or action is wire.Action.OPEN_APP:
        action, url = wire.Action.OPEN_APP, ""
    data = first(message.Data, default_push.Data, {})
    return Push(
        title=fill.text(recipient.TitleOverride or message.Title or default_push.Title or ""),
        body=fill.text(body or ""),
        action=action,
        url=url,
        data={key: fill.text(value) for key, value in data.items()},
        silent=first(message.SilentPush, default_push.SilentPush, False),
        extras=extras(request, recipient),
    )


def filler(
    recipient: wire.EndpointSendConfiguration,
    messages: tuple[Substituted | None, ...],
    variables: Variables,
) -> substitute.Fill:
    """The recipient's variables over the messages' own, those over the endpoint's attributes."""
    given = [recipient.Substitutions, *[m.Substitutions for m in messages if m], variables.named]
    return substitute.Fill([scope for scope in given if scope], variables)


def extras(
    request: wire.MessageRequest, recipient: wire.EndpointSendConfiguration
) -> dict[str, str]:
    """The recipient's Context over the request's, and the TraceId as `traceId`."""
    merged = {**(request.Context or {}), **(recipient.Context or {})}
    if request.TraceId:
        merged["traceId"] = request.TraceId
    return merged


def raw(text: str) -> dict[str, Any]:
    """The JSON object that a RawContent holds, variables not yet filled in.

    Strings may stand in single quotes, as they do in Pinpoint's own examples for ADM and Baidu.
    """
    if len(text) > MAX_RAW:
        raise errors.Unrenderable(
            413, f"RawContent is too large: {len(text)} characters, the limit is {MAX_RAW}"
        )
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = msgspec.json.decode(_QUOTED.sub(_double_quoted, text))
        except (msgspec.DecodeError, RecursionError):
            raise errors.Unrenderable(400, "RawContent is not valid JSON") from None
    if not isinstance(value, dict):
        raise errors.Unrenderable(400, "RawContent is not a JSON object")
    return value


def fit(payload: Mapping[str, Any], most: int, channel: str) -> None:
    """Raise unless the payload as compact UTF-8 JSON is at most so many bytes."""
    size = len(wire.encode(payload))
    if size > most:
        raise errors.Unrenderable(
            413, f"The {channel} payload is too large: {size} bytes, the limit is {most}"
        )


def within(value: int | None, most: int, member: str) -> int | None:
    """The number, if there is one; raise unless it is 0 to `most`."""
    if value is not None and not 0 <= value <= most:
        raise errors.Unrenderable(400, f"{member} must be 0 to {most}")
    return value


def high_priority(priority: str | None, member: str) -> bool | None:
    """Priority in the words of either Google or Apple; None if it is left open."""
    if not priority:
        return None
    if priority.lower() not in {"5", "10", "normal", "high"}:
        raise errors.Unrenderable(400, f"{member} must be normal or high (5 or 10)")
    return priority.lower() in {"10", "high"}


def first(*values: T | None) -> T:
    """The first that was given. One must be."""
    for value in values:
        if value is not None:
            return value
    raise TypeError("none was given")


def _double_quoted(match: re.Match[str]) -> str:
    if match["single"] is None:
        return match[0]
    return f'"{_QUOTE.sub(_requoted, match["single"])}"'


def _requoted(match: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])
