"""Push for Android: GCM (Firebase), ADM and Baidu, which share one flat map of strings.

Its keys are the ones that the AWS Mobile SDK and Amplify read. `pinpoint.campaign.campaign_id` is
load-bearing: without it old apps show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.messages import AdmPush, BaiduPush, FcmPush
from worker import wire
from worker.render import content, errors, substitute

_GCM_BYTES = _BAIDU_BYTES = 4096
_ADM_BYTES = 6144
_GCM_SECONDS = 2_419_200
_BAIDU_SECONDS = 604_800  # Pinpoint: both the default and the maximum
_ADM_SECONDS = 2_678_400

_NO_GCM = wire.GCMMessage()
_NO_ADM = wire.ADMMessage()
_NO_BAIDU = wire.BaiduMessage()

_TAP = {wire.Action.URL: "pinpoint.url", wire.Action.DEEP_LINK: "pinpoint.deeplink"}
_OPTIONAL = {  # the order of words in SmallImageIconUrl's key is the client's
    "ImageUrl": "pinpoint.notification.imageUrl",
    "ImageIconUrl": "pinpoint.notification.imageIconUrl",
    "SmallImageIconUrl": "pinpoint.notification.imageSmallIconUrl",
    "IconReference": "pinpoint.notification.icon",
    "Sound": "pinpoint.notification.sound",
}
_OWN = {
    "pinpoint.openApp",
    "pinpoint.notification.title",
    "pinpoint.notification.body",
    "pinpoint.notification.silentPush",
    "pinpoint.campaign.campaign_id",
    "pinpoint.jsonBody",
    *_TAP.values(),
    *_OPTIONAL.values(),
}

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


def gcm(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any],
) -> FcmPush:
    """A data message for FCM HTTP v1. What stands beside a RawContent (TimeToLive, Priority, …)
    applies where the RawContent itself is silent."""
    message = request.MessageConfiguration.GCMMessage or _NO_GCM
    fill = _filler(message, request, recipient, variables)
    text = recipient.RawContent or message.RawContent
    validate_only = False
    if text:
        parsed = content.raw(text, fill)
        if "fcmV1Message" in parsed:
            sent, validate_only = _v1(parsed["fcmV1Message"])
        else:
            sent = _translated(parsed)
    else:
        sent = {"data": _flat(message, request, recipient, fill)}
    options = _options(
        message.Priority, message.TimeToLive, message.CollapseKey, message.RestrictedPackageName
    )
    _add_options(sent, options)
    # FCM counts what reaches the app, not how it is delivered.
    counted = {key: sent[key] for key in ("notification", "data") if key in sent}
    content.fit(counted, _GCM_BYTES, "GCM")
    return FcmPush(message=sent, validate_only=validate_only)


def adm(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any],
) -> AdmPush:
    """A message for Amazon Device Messaging. MD5 is passed on as it is: ADM checks it."""
    message = request.MessageConfiguration.ADMMessage or _NO_ADM
    data = _map(message, request, recipient, variables)
    content.fit(data, _ADM_BYTES, "ADM")
    return AdmPush(
        data=data,
        consolidation_key=message.ConsolidationKey or None,
        expires_after=_seconds(message.ExpiresAfter),
        md5=message.MD5 or None,
    )


def baidu(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any],
) -> BaiduPush:
    """A message for Baidu Cloud Push, kept for 604,800 seconds unless TimeToLive says less."""
    message = request.MessageConfiguration.BaiduMessage or _NO_BAIDU
    data = _map(message, request, recipient, variables)
    content.fit(data, _BAIDU_BYTES, "BAIDU")
    expires = content.within(message.TimeToLive, _BAIDU_SECONDS, "BaiduMessage.TimeToLive")
    return BaiduPush(message=data, expires=_BAIDU_SECONDS if expires is None else expires)


def _filler(
    message: content.PushMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any],
) -> substitute.Fill:
    config = request.MessageConfiguration
    defaults = (config.DefaultPushNotificationMessage, config.DefaultMessage)
    return content.filler(recipient, (message, *defaults), variables)


def _map(
    message: wire.ADMMessage | wire.BaiduMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any],
) -> dict[str, str]:
    fill = _filler(message, request, recipient, variables)
    text = recipient.RawContent or message.RawContent
    if text:
        return _strings(content.raw(text, fill))
    return _flat(message, request, recipient, fill)


def _flat(
    message: wire.GCMMessage | wire.ADMMessage | wire.BaiduMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    fill: substitute.Fill,
) -> dict[str, str]:
    """The flat map: exactly one of openApp, url and deeplink, and nothing that Context could
    make two of."""
    push = content.push(message, request, recipient, fill)
    if push.empty:
        raise errors.Unrenderable(400, "The message has no content for this channel")
    flat = {_TAP[push.action]: push.url} if push.url else {"pinpoint.openApp": "true"}
    if push.title:
        flat["pinpoint.notification.title"] = push.title
    if push.body:
        flat["pinpoint.notification.body"] = push.body
    for member, key in _OPTIONAL.items():
        if value := getattr(message, member):
            flat[key] = fill.text(value)
    flat["pinpoint.campaign.campaign_id"] = "_DIRECT"
    flat["pinpoint.notification.silentPush"] = "1" if push.silent else "0"
    if push.data:
        flat["pinpoint.jsonBody"] = wire.encode(push.data).decode()
    for name, value in push.extras.items():
        key = f"pinpoint.{name}"
        if key not in _OWN:
            flat[key] = value
    return flat


def _v1(wrapped: Any) -> tuple[dict[str, Any], bool]:
    """FCM's own message, as the caller wrote it, but for the address, which is the delivery's."""
    message = wrapped.get("message") if isinstance(wrapped, dict) else None
    if not isinstance(message, dict):
        raise errors.Unrenderable(400, "RawContent: fcmV1Message.message must be an object")
    sent = {k: v for k, v in message.items() if k not in {"token", "topic", "condition"}}
    return sent, wrapped.get("validate_only") is True


def _translated(legacy: dict[str, Any]) -> dict[str, Any]:
    """A message of FCM's legacy API in the terms of v1. What v1 has no place for is left out, as
    the legacy API left out what it did not know."""
    notification = _object(legacy, "notification")
    data = _object(legacy, "data")
    if not notification and not data:
        raise errors.Unrenderable(400, "RawContent has neither notification nor data")
    shared = {key: notification[key] for key in _SHARED_NOTIFICATION if key in notification}
    own = {
        v1: _listed(notification[old]) if old.endswith("_args") else notification[old]
        for old, v1 in _ANDROID_NOTIFICATION.items()
        if old in notification
    }
    ttl = legacy.get("time_to_live")
    if ttl is not None and not isinstance(ttl, int):
        raise errors.Unrenderable(400, "RawContent: time_to_live must be a whole number")
    android = _options(
        _text(legacy.get("priority")),
        ttl,
        _text(legacy.get("collapse_key")),
        _text(legacy.get("restricted_package_name")),
    )
    if own:
        android["notification"] = own
    sent = {"notification": shared, "data": _strings(data), "android": android}
    return {key: value for key, value in sent.items() if value}


def _options(
    priority: str | None, ttl: int | None, collapse_key: str | None, package: str | None
) -> dict[str, Any]:
    """FCM's AndroidConfig, with what was given."""
    high = content.high_priority(priority, "GCM Priority")
    ttl = content.within(ttl, _GCM_SECONDS, "GCM TimeToLive")
    options = {
        "priority": None if high is None else "HIGH" if high else "NORMAL",
        "ttl": None if ttl is None else f"{ttl}s",
        "collapse_key": collapse_key,
        "restricted_package_name": package,
    }
    return {key: value for key, value in options.items() if value}


def _add_options(sent: dict[str, Any], options: dict[str, Any]) -> None:
    """Add the options that the message does not have yet, under either spelling."""
    android = _object(sent, "android")
    missing = {
        key: value
        for key, value in options.items()
        if key not in android and _CAMEL.get(key) not in android
    }
    if missing:
        sent["android"] = {**android, **missing}


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.Unrenderable(400, f"RawContent: {key} must be an object")
    return value


def _strings(values: dict[str, Any]) -> dict[str, str]:
    """Every value as the string that Android's `getString` wants; null is absent."""
    return {key: text for key, value in values.items() if (text := _text(value)) is not None}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return wire.encode(value).decode()


def _listed(value: Any) -> Any:
    """The legacy API took these as a JSON array in a string, v1 takes an array."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value, type=list[str])
    except msgspec.MsgspecError:
        return [value]


def _seconds(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise errors.Unrenderable(400, "ADMMessage.ExpiresAfter must be a whole number of seconds")
    return content.within(int(text), _ADM_SECONDS, "ADMMessage.ExpiresAfter")
