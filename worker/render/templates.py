"""A message template in the place of a message's own content.

Pinpoint: MessageConfiguration gives the envelope (who it is from, how urgent it is), the template
the content. A template takes the place of all the content that the message itself has for that
channel; what the recipient has of its own (RawContent, overrides) still wins.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from adapters.contract import ChannelType
from worker import wire
from worker.render.errors import Unrenderable

_S = TypeVar("_S", bound=msgspec.Struct)
_Values: TypeAlias = Mapping[str, Any]


class Documents(msgspec.Struct, frozen=True, omit_defaults=True):
    """The templates that a request names, as they were when it was accepted. One that was not
    there then is None."""

    EmailTemplate: wire.EmailTemplateRequest | None = None
    PushTemplate: wire.PushNotificationTemplateRequest | None = None
    SMSTemplate: wire.SMSTemplateRequest | None = None
    VoiceTemplate: wire.VoiceTemplateRequest | None = None


class Content(wire.MessageRequest, frozen=True):
    """A request as it is stored: without its recipients, with its templates. With `OneTimeCode` its
    text names the variable `otp`, whose value is not stored here."""

    Templates: Documents | None = None
    OneTimeCode: bool = False


_NO_DOCUMENTS = Documents()
_MEMBERS = {
    ChannelType.EMAIL: "EmailTemplate",
    ChannelType.SMS: "SMSTemplate",
    ChannelType.VOICE: "VoiceTemplate",
    **dict.fromkeys(
        (
            ChannelType.APNS,
            ChannelType.APNS_SANDBOX,
            ChannelType.APNS_VOIP,
            ChannelType.APNS_VOIP_SANDBOX,
            ChannelType.GCM,
            ChannelType.ADM,
            ChannelType.BAIDU,
        ),
        "PushTemplate",
    ),
}
_PARTS = {ChannelType.GCM: "GCM", ChannelType.ADM: "ADM", ChannelType.BAIDU: "Baidu"}
_MESSAGES: Mapping[str, Any] = {
    "APNS": wire.APNSMessage,
    "GCM": wire.GCMMessage,
    "ADM": wire.ADMMessage,
    "Baidu": wire.BaiduMessage,
}


def applied(
    channel: ChannelType, request: wire.MessageRequest, recipient: wire.EndpointSendConfiguration
) -> tuple[wire.MessageRequest, _Values]:
    """The request with its template's content for the channel, and the template's
    DefaultSubstitutions; the request itself if it names none for it.

    `Unrenderable`: 404 for a template that there is not, 400 for a push template that says nothing
    for the channel.
    """
    configuration = request.TemplateConfiguration
    if configuration is None:
        return request, {}
    member = _MEMBERS.get(channel)
    if member is None or getattr(configuration, member) is None:
        return request, {}
    stored = request.Templates if isinstance(request, Content) else None
    template = getattr(stored or _NO_DOCUMENTS, member)
    if template is None:
        raise Unrenderable(404, "Resource not found")
    config = _without_content(request.MessageConfiguration)
    match template:
        case wire.EmailTemplateRequest():
            config = _email(template, config)
        case wire.SMSTemplateRequest():
            message = config.SMSMessage or wire.SMSMessage()
            message = _replaced(message, Body=template.Body)
            config = _replaced(config, SMSMessage=message)
        case wire.VoiceTemplateRequest():
            config = _voice(template, config)
        case _:
            config = _push(template, _PARTS.get(channel, "APNS"), config, recipient)
    defaults = template.DefaultSubstitutions
    return _replaced(request, MessageConfiguration=config), _values(defaults) if defaults else {}


def _without_content(config: wire.DirectMessageConfiguration) -> wire.DirectMessageConfiguration:
    """The variables of the default message stay; its text would fill the gaps of a template."""
    default = config.DefaultMessage
    return _replaced(config, DefaultMessage=default and _replaced(default, Body=None))


def _email(
    template: wire.EmailTemplateRequest, config: wire.DirectMessageConfiguration
) -> wire.DirectMessageConfiguration:
    message = config.EmailMessage or wire.EmailMessage()
    inline = message.SimpleEmail or wire.SimpleEmail()
    simple = wire.SimpleEmail(
        Subject=wire.SimpleEmailPart(Data=template.Subject),
        TextPart=wire.SimpleEmailPart(Data=template.TextPart),
        HtmlPart=wire.SimpleEmailPart(Data=template.HtmlPart),
        Headers=template.Headers or inline.Headers,
    )
    message = _replaced(message, Body=None, RawEmail=None, SimpleEmail=simple)
    return _replaced(config, EmailMessage=message)


def _voice(
    template: wire.VoiceTemplateRequest, config: wire.DirectMessageConfiguration
) -> wire.DirectMessageConfiguration:
    message = config.VoiceMessage or wire.VoiceMessage()
    message = _replaced(
        message,
        Body=template.Body,
        LanguageCode=template.LanguageCode or message.LanguageCode,
        VoiceId=template.VoiceId or message.VoiceId,
    )
    return _replaced(config, VoiceMessage=message)


def _push(
    template: wire.PushNotificationTemplateRequest,
    part_name: str,
    config: wire.DirectMessageConfiguration,
    recipient: wire.EndpointSendConfiguration,
) -> wire.DirectMessageConfiguration:
    """The channel's part laid over the default part. Data and SilentPush, which templates have
    not, stay the message's."""
    part, default = getattr(template, part_name), template.Default
    if part is None and default is None and not (recipient.RawContent or recipient.BodyOverride):
        raise Unrenderable(400, f"The template has neither {part_name} nor Default content")
    kind = _MESSAGES[part_name]
    message = getattr(config, f"{part_name}Message") or kind()
    given = {} if part is None else msgspec.structs.asdict(part)
    content = dict.fromkeys(_CONTENT & set(kind.__struct_fields__)) | given
    content["Sound"] = content["Sound"] or (default and default.Sound)
    default_push = config.DefaultPushNotificationMessage or wire.DefaultPushNotificationMessage()
    words = {name: default and getattr(default, name) for name in _DEFAULT_CONTENT}
    return _replaced(
        config,
        DefaultPushNotificationMessage=_replaced(default_push, **words),
        **{f"{part_name}Message": _replaced(message, **content)},
    )


_DEFAULT_CONTENT = ("Action", "Body", "Title", "Url")
_CONTENT = {
    *wire.AndroidPushNotificationTemplate.__struct_fields__,
    *wire.APNSPushNotificationTemplate.__struct_fields__,
    "IconReference",
}


@functools.lru_cache(maxsize=64)
def _values(text: str) -> _Values:
    """DefaultSubstitutions as names and values. What cannot be read was refused with the template,
    so it says nothing here."""
    try:
        values = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _replaced(shape: _S, **members: Any) -> _S:
    return msgspec.structs.replace(shape, **members)
