"""SMS, voice and webhooks: messages that are little more than a text."""

from __future__ import annotations

from typing import Any

from adapters import gsm
from adapters.messages import Custom, Sms, Voice
from worker import wire
from worker.render import content, errors, substitute
from worker.render.variables import Variables

_GSM_CHARACTERS = 1600
_OTHER_CHARACTERS = 630

_NO_SMS = wire.SMSMessage()
_NO_VOICE = wire.VoiceMessage()


def sms(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> Sms:
    """A text message of at most 1,600 GSM or 630 other characters. It is promotional only if
    MessageType says so: a one-time code must not wait behind a campaign by omission."""
    config = request.MessageConfiguration
    message = config.SMSMessage or _NO_SMS
    body = _body(message, request, recipient, variables, "SMS")
    if _too_long(body):
        raise errors.Unrenderable(
            400,
            f"Message too long: the limit is {_GSM_CHARACTERS} GSM or {_OTHER_CHARACTERS} other "
            "characters",
        )
    return Sms(
        body=body,
        promotional=message.MessageType is wire.MessageType.PROMOTIONAL,
        origination_number=message.OriginationNumber or None,
        sender_id=message.SenderId or None,
        keyword=message.Keyword or None,
        entity_id=message.EntityId or None,
        template_id=message.TemplateId or None,
        media_url=message.MediaUrl or None,
    )


def voice(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> Voice:
    """A call that speaks the body."""
    message = request.MessageConfiguration.VoiceMessage or _NO_VOICE
    return Voice(
        body=_body(message, request, recipient, variables, "VOICE"),
        origination_number=message.OriginationNumber or None,
        language_code=message.LanguageCode or None,
        voice_id=message.VoiceId or None,
    )


def custom(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> Custom:
    """What a webhook is told: the default messages' members under Pinpoint's names as `Message`,
    or the recipient's RawContent in their place; `Context` and `TraceId` if there are any."""
    config = request.MessageConfiguration
    sources = (config.DefaultPushNotificationMessage, config.DefaultMessage)
    fill = content.filler(recipient, sources, variables)
    if recipient.RawContent:
        message = fill.tree(content.raw(recipient.RawContent))
    else:
        push = content.push(wire.GCMMessage(), request, recipient, fill)
        if push.empty:
            raise errors.Unrenderable(400, "The message has no content for this channel")
        message = _members(push)
    context = {**(request.Context or {}), **(recipient.Context or {})}
    given = {"Message": message, "Context": context, "TraceId": request.TraceId}
    data = {key: value for key, value in given.items() if value}
    content.fit(data, substitute.MAX_OUTPUT, "CUSTOM")
    return Custom(data=data)


def _members(push: content.Push) -> dict[str, Any]:
    members = {
        "Title": push.title,
        "Body": push.body,
        "Action": push.action.value if push.url else None,
        "Url": push.url,
        "Data": push.data,
        "SilentPush": push.silent,
    }
    return {name: value for name, value in members.items() if value}


def _body(
    message: wire.SMSMessage | wire.VoiceMessage,
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
    channel: str,
) -> str:
    default = request.MessageConfiguration.DefaultMessage or content.NO_DEFAULT
    fill = content.filler(recipient, (message, default), variables)
    body = fill.text(recipient.BodyOverride or message.Body or default.Body or "")
    if not body:
        raise errors.Unrenderable(400, f"The message has no body for {channel}")
    body.encode()
    return body


def _too_long(body: str) -> bool:
    """Other than GSM text is counted as phones carry it, in UTF-16: an emoji takes two."""
    if len(body) * 2 <= _OTHER_CHARACTERS:
        return False
    return gsm.length(body) > (_GSM_CHARACTERS if gsm.is_gsm(body) else _OTHER_CHARACTERS)
