"""Push for Android through Firebase: the flat map, or the caller's RawContent in either of FCM's
two forms, as a message of the HTTP v1 API."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.messages import FcmPush
from worker import wire
from worker.render import android, content, errors, substitute
from worker.render.variables import Variables

_BYTES = 4096
_SECONDS = 2_419_200

_NO_GCM = wire.GCMMessage()

_SHARED_NOTIFICATION = ("title", "body", "image")
_ANDROID_NOTIFICATION = {  # the legacy API's names, and FCM v1's
    "android_channel_id": "channel_id",
    "body_loc_args": "body_loc_args",
    "body_loc_key": "body_loc_key",
    "click_action": "click_action",
    "color": "color",
    "icon": "icon",
    "sound": "sound",
    "tag": "tag",
    "title_loc_args": "title_loc_args",
    "title_loc_key": "title_loc_key",
}
_CAMEL = {"collapse_key": "collapseKey", "restricted_package_name": "restrictedPackageName"}


def push(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> FcmPush:
    """A data message for FCM HTTP v1. What stands beside a RawContent (TimeToLive, Priority, …)
    applies where the RawContent itself is silent."""
    message = request.MessageConfiguration.GCMMessage or _NO_GCM
    fill = android.filler(message, request, recipient, variables)
    text = recipient.RawContent or message.RawContent
    validate_only = False
    if text:
        raw = content.raw(text)
        if "fcmV1Message" in raw:
            sent, validate_only = _v1(fill.tree(raw["fcmV1Message"]))
        else:
            sent = _translated(raw, fill)
    else:
        sent = {"data": android.flat(message, request, recipient, fill)}
    options = _options(
        message.Priority, message.TimeToLive, message.CollapseKey, message.RestrictedPackageName
    )
    _add_options(sent, options)
    # FCM counts what reaches the app, not how it is delivered.
    counted: dict[str, Any] = {key: sent[key] for key in ("notification", "data") if key in sent}
    content.fit(counted, _BYTES, "GCM")
    return FcmPush(message=sent, validate_only=validate_only)


def _v1(wrapped: Any) -> tuple[dict[str, Any], bool]:
    """FCM's own message, as the caller wrote it, but for the address, which is the delivery's."""
    message = wrapped.get("message") if isinstance(wrapped, dict) else None
    if not isinstance(message, dict):
        raise errors.Unrenderable(400, "RawContent: fcmV1Message.message must be an object")
    sent = {k: v for k, v in message.items() if k not in {"token", "topic", "condition"}}
    return sent, wrapped.get("validate_only") is True


def _translated(raw: dict[str, Any], fill: substitute.Fill) -> dict[str, Any]:
    """A message of FCM's legacy API in the terms of v1. What v1 has no place for is left out, as
    the legacy API left out what it did not know."""
    legacy = fill.tree(raw)
    data = _object(legacy, "data")
    notification = _object(legacy, "notification")
    if not notification and not data:
        raise errors.Unrenderable(400, "RawContent has neither notification nor data")
    shared = {key: notification[key] for key in _SHARED_NOTIFICATION if key in notification}
    options = {
        **_options(
            android.text_of(legacy.get("priority")),
            _whole(legacy.get("time_to_live")),
            android.text_of(legacy.get("collapse_key")),
            android.text_of(legacy.get("restricted_package_name")),
        )
    }
    if own := _android_notification(_object(raw, "notification"), fill):
        options["notification"] = own
    sent = {"notification": shared, "data": android.strings(data), "android": options}
    return {key: value for key, value in sent.items() if value}


def _android_notification(raw: dict[str, Any], fill: substitute.Fill) -> dict[str, Any]:
    """The members that only Android knows. Arguments are read as lists before variables are
    filled in, so that a value cannot become two arguments."""
    own = {
        v1: _listed(raw[old]) if old.endswith("_args") else raw[old]
        for old, v1 in _ANDROID_NOTIFICATION.items()
        if old in raw
    }
    filled: dict[str, Any] = fill.tree(own)
    return filled


@functools.lru_cache(maxsize=256)
def _options(
    priority: str | None, ttl: int | None, collapse_key: str | None, package: str | None
) -> Mapping[str, Any]:
    """FCM's AndroidConfig, with what was given: mostly the same for all recipients."""
    high = content.high_priority(priority, "GCM Priority")
    ttl = content.within(ttl, _SECONDS, "GCM TimeToLive")
    options = {
        "priority": None if high is None else "HIGH" if high else "NORMAL",
        "ttl": None if ttl is None else f"{ttl}s",
        "collapse_key": collapse_key,
        "restricted_package_name": package,
    }
    return {key: value for key, value in options.items() if value}


def _add_options(sent: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Add the options that the message does not have yet, under either spelling."""
    given = _object(sent, "android")
    missing = {
        key: value
        for key, value in options.items()
        if key not in given and _CAMEL.get(key) not in given
    }
    if missing:
        sent["android"] = {**given, **missing}


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.Unrenderable(400, f"RawContent: {key} must be an object")
    return value


def _listed(value: Any) -> Any:
    """The legacy API took these as a JSON array in a string, v1 takes an array."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value, type=list[str])
    except msgspec.MsgspecError:
        return [value]


def _whole(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise errors.Unrenderable(400, "RawContent: time_to_live must be a whole number")
    return value
