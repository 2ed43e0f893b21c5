"""Push for Android: the flat map of strings that GCM, ADM and Baidu share, and the last two.

Its keys are the ones that the AWS Mobile SDK and Amplify read. `pinpoint.campaign.campaign_id` is
load-bearing: without it old apps show nothing.
"""

from __future__ import annotations

from typing import Any

from adapters.messages import AdmPush, BaiduPush
from worker import wire
from worker.render import content, errors, substitute
from worker.render.variables import Variables

_BAIDU_BYTES = 4096
_ADM_BYTES = 6144
_BAIDU_SECONDS = 604_800  # Pinpoint: both the default and the maximum
_ADM_SECONDS = 2_678_400

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


def adm(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
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
    variables: Variables,
) -> BaiduPush:
    """A message for Baidu Cloud Push, kept for 604,800 seconds unless TimeToLive says less."""
    message = request.MessageConfiguration.BaiduMessage or _NO_BAIDU
    data = _map(message, request, recipient, variables)
    content.fit(data, _BAIDU_BYTES, "BAIDU")
    expires = content.within(message.TimeToLive, _BAIDU_SECONDS, "BaiduMessage.TimeToLive")
    return BaiduPush(message=data, expires=_BAIDU_SECONDS if expires is None else expires)


def filler(
    message: content.PushMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> substitute.Fill:
    config = request.MessageConfiguration
    defaults = (config.DefaultPushNotificationMessage, config.DefaultMessage)
    return content.filler(recipient, (message, *defaults), variables)


def _map(
    message: wire.ADMMessage | wire.BaiduMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> dict[str, str]:
    fill = filler(message, request, recipient, variables)
    text = recipient.RawContent or message.RawContent
    if text:
        return strings(fill.tree(content.raw(text)))
    return flat(message, request, recipient, fill)


def flat(
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


def strings(values: dict[str, Any]) -> dict[str, str]:
    """Every value as the string that Android's `getString` wants; null is absent."""
    return {key: text for key, value in values.items() if (text := text_of(value)) is not None}


def text_of(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return wire.encode(value).decode()


def _seconds(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise errors.Unrenderable(400, "ADMMessage.ExpiresAfter must be a whole number of seconds")
    return content.within(int(text), _ADM_SECONDS, "ADMMessage.ExpiresAfter")
