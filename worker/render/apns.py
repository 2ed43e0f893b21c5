"""Push for Apple: APNS and APNS_SANDBOX, APNS_VOIP and APNS_VOIP_SANDBOX."""

from __future__ import annotations

import re
from typing import Any

from adapters.messages import ApnsPush
from worker import wire
from worker.render import content, errors, substitute
from worker.render.variables import Variables

_BYTES = 4096
_VOIP_BYTES = 5120  # Apple
_COLLAPSE_BYTES = 64  # Apple
_LARGEST = 2**31 - 1

_NO_APNS = wire.APNSMessage()
_PUSH_TYPES = {"alert", "background", "complication", "fileprovider", "mdm", "voip"}
_AUTHENTICATION = {"CERTIFICATE": "CERTIFICATE", "TOKEN": "TOKEN", "KEY": "TOKEN"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def alert(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> ApnsPush:
    """A push of the type that APNSPushType names; else `background` if its payload shows nothing
    and wakes the app, else `alert`."""
    payload = _payload(request, recipient, variables)
    content.fit(payload, _BYTES, "APNS")
    return _push(request, payload, "background" if _wakes_only(payload) else "alert")


def voip(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> ApnsPush:
    """A push of type `voip`, unless APNSPushType names another."""
    payload = _payload(request, recipient, variables)
    content.fit(payload, _VOIP_BYTES, "APNS_VOIP")
    return _push(request, payload, "voip")


def _push(request: wire.MessageRequest, payload: dict[str, Any], push_type: str) -> ApnsPush:
    """The payload with what becomes headers. Apple takes background pushes at priority 5 only,
    so that is their default; every other push defaults to 10."""
    message = request.MessageConfiguration.APNSMessage or _NO_APNS
    push_type = (message.APNSPushType or push_type).lower()
    if push_type not in _PUSH_TYPES:
        raise errors.Unrenderable(
            400, f"APNSMessage.APNSPushType must be one of {', '.join(sorted(_PUSH_TYPES))}"
        )
    high = content.high_priority(message.Priority, "APNSMessage.Priority")
    if high is None:
        high = push_type != "background"
    return ApnsPush(
        payload=payload,
        push_type=push_type,
        priority=10 if high else 5,
        time_to_live=content.within(message.TimeToLive, _LARGEST, "APNSMessage.TimeToLive"),
        collapse_id=_collapse_id(message.CollapseId),
        authentication=_authentication(message.PreferredAuthenticationMethod),
    )


def _payload(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> dict[str, Any]:
    config = request.MessageConfiguration
    message = config.APNSMessage or _NO_APNS
    sources = (message, config.DefaultPushNotificationMessage, config.DefaultMessage)
    fill = content.filler(recipient, sources, variables)
    text = recipient.RawContent or message.RawContent
    if text:
        filled: dict[str, Any] = fill.tree(content.raw(text))
        return filled
    push = content.push(message, request, recipient, fill)
    if push.empty and message.Badge is None and not message.Sound:
        raise errors.Unrenderable(400, "The message has no content for this channel")
    aps = {"content-available": 1} if push.silent else _aps(message, push, fill)
    return {"aps": aps, "data": _data(message, push, fill)}


def _aps(message: wire.APNSMessage, push: content.Push, fill: substitute.Fill) -> dict[str, Any]:
    """What iOS itself reads. Media is fetched by the app's extension, which runs only if the
    content is mutable."""
    aps: dict[str, Any] = {}
    alert = {"title": push.title, "body": push.body}
    if given := {key: text for key, text in alert.items() if text}:
        aps["alert"] = given
    aps["content-available"] = 1
    aps["mutable-content"] = 1 if message.MediaUrl else 0
    if message.Sound:
        aps["sound"] = fill.text(message.Sound)
    if message.Badge is not None:
        aps["badge"] = content.within(message.Badge, _LARGEST, "APNSMessage.Badge")
    if message.Category:
        aps["category"] = fill.text(message.Category)
    if message.ThreadId:
        aps["thread-id"] = fill.text(message.ThreadId)
    return aps


def _data(message: wire.APNSMessage, push: content.Push, fill: substitute.Fill) -> dict[str, Any]:
    """What the Pinpoint clients read. They know no `url` on iOS, only `deeplink`, and they want
    `pinpoint` even if it is empty."""
    data: dict[str, Any] = {}
    if message.MediaUrl and not push.silent:
        data["media-url"] = fill.text(message.MediaUrl)
    if push.data:
        data["jsonBody"] = push.data
    link = {"deeplink": push.url} if push.url else {}
    extras = {key: value for key, value in push.extras.items() if key != "deeplink"}
    data["pinpoint"] = {**link, **extras}
    return data


def _wakes_only(payload: dict[str, Any]) -> bool:
    """Whether a payload, ours or the caller's, is Apple's background push."""
    aps = payload.get("aps")
    return (
        isinstance(aps, dict)
        and aps.get("content-available") == 1
        and not aps.keys() & {"alert", "badge", "sound"}
    )


def _collapse_id(text: str | None) -> str | None:
    if text and (len(text.encode()) > _COLLAPSE_BYTES or _CONTROL.search(text)):
        raise errors.Unrenderable(
            400, f"APNSMessage.CollapseId must be at most {_COLLAPSE_BYTES} printable bytes"
        )
    return text or None


def _authentication(method: str | None) -> str | None:
    if not method:
        return None
    if method.upper() not in _AUTHENTICATION:
        raise errors.Unrenderable(
            400, "APNSMessage.PreferredAuthenticationMethod must be CERTIFICATE or TOKEN"
        )
    return _AUTHENTICATION[method.upper()]
