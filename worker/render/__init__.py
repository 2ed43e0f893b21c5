"""From Pinpoint's request to what is sent to one recipient. Pure: no I/O, no clock but the one that
a text asks for, no state but a cache of parsed texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from adapters.contract import ChannelType
from adapters.messages import Message
from worker import wire
from worker.render import android, apns, email, fcm, templates, text
from worker.render.errors import Unrenderable
from worker.render.templates import Content, Documents
from worker.render.variables import Variables, utc_now

__all__ = ["Content", "Documents", "Unrenderable", "render"]

_Renderer = Callable[[wire.MessageRequest, wire.EndpointSendConfiguration, Variables], Message]
_RENDERERS: dict[ChannelType, _Renderer] = {
    ChannelType.GCM: fcm.push,
    ChannelType.APNS: apns.alert,
    ChannelType.APNS_SANDBOX: apns.alert,
    ChannelType.APNS_VOIP: apns.voip,
    ChannelType.APNS_VOIP_SANDBOX: apns.voip,
    ChannelType.ADM: android.adm,
    ChannelType.BAIDU: android.baidu,
    ChannelType.SMS: text.sms,
    ChannelType.VOICE: text.voice,
    ChannelType.EMAIL: email.email,
    ChannelType.CUSTOM: text.custom,
}


def render(
    channel: ChannelType,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Message:
    """What is sent to one recipient over this channel.

    `variables` are the endpoint's attributes, dotted names to a list or a scalar
    (`{"User.UserAttributes.FirstName": ["Ann"]}`); all Substitutions win over them, and they over a
    template's DefaultSubstitutions. With `strict` a variable that has no value is an error and not
    an empty text. Whatever cannot be rendered is `Unrenderable`; nothing else is raised.
    """
    renderer = _RENDERERS.get(channel)
    if renderer is None:
        raise Unrenderable(400, f"Messages cannot be sent to a channel of type {channel}")
    request, defaults = templates.applied(channel, request, recipient)
    named = {**defaults, **(variables or {})} if defaults else variables or {}
    try:
        return renderer(request, recipient, Variables(named, strict, now))
    except UnicodeEncodeError:  # half a surrogate pair, which only a Python caller can pass
        raise Unrenderable(400, "The message is not valid Unicode") from None
