"""From Pinpoint's request to what is sent to one recipient. Pure: no I/O, no clock, no state but a
cache of parsed templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.contract import ChannelType
from adapters.messages import Message
from worker import wire
from worker.render import android, apns, email, fcm, text
from worker.render.errors import Unrenderable

__all__ = ["Unrenderable", "render"]

_Renderer = Callable[
    [wire.MessageRequest, wire.EndpointSendConfiguration, Mapping[str, Any]], Message
]
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
) -> Message:
    """What is sent to one recipient over this channel.

    `variables` are the endpoint's attributes, dotted names to a list or a scalar
    (`{"User.UserAttributes.FirstName": ["Ann"]}`); all Substitutions win over them. Whatever
    cannot be rendered is `Unrenderable`; nothing else is raised.
    """
    renderer = _RENDERERS.get(channel)
    if renderer is None:
        raise Unrenderable(400, f"Messages cannot be sent to a channel of type {channel}")
    _refuse_template(channel, request.TemplateConfiguration)
    try:
        return renderer(request, recipient, variables or {})
    except UnicodeEncodeError:  # half a surrogate pair, which only a Python caller can pass
        raise Unrenderable(400, "The message is not valid Unicode") from None


def _refuse_template(channel: ChannelType, templates: wire.TemplateConfiguration | None) -> None:
    """There are no templates, so none is found."""
    if templates is None:
        return
    match channel:
        case ChannelType.EMAIL:
            template = templates.EmailTemplate
        case ChannelType.SMS:
            template = templates.SMSTemplate
        case ChannelType.VOICE:
            template = templates.VoiceTemplate
        case ChannelType.CUSTOM:
            template = None
        case _:
            template = templates.PushTemplate
    if template is not None:
        raise Unrenderable(404, "Resource not found")
