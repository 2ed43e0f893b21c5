"""One-time codes: SendOTPMessage and VerifyOTPMessage.

A code goes out as any other text message. Its request is stored with the text that has a place for
the code, and the code where `worker.store.codes` keeps it; `worker.attempt` puts the two together
just before the message is handed to a provider.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from worker import intake, phone, store, wire
from worker.runtime import Runtime
from worker.wire import bounds

# AWS does not say what its own defaults are.
LANGUAGE = "en-US"
CODE_LENGTH = 6
VALIDITY_PERIOD = 10  # minutes
ALLOWED_ATTEMPTS = 3

_RANGES: Mapping[str, tuple[int, int]] = {
    "AllowedAttempts": bounds.ALLOWED_ATTEMPTS,
    "CodeLength": bounds.CODE_LENGTH,
    "ValidityPeriod": bounds.VALIDITY_PERIOD,
}

_ENGLISH = "This is your One Time Password: {{otp}} from {{brand}}"  # Pinpoint
_SPANISH = "Esta es su contraseña de un solo uso: {{otp}} de {{brand}}"
_FRENCH = "Voici votre mot de passe à usage unique : {{otp}} de {{brand}}"
TEXTS: Mapping[str, str] = {
    "de-DE": "Dies ist Ihr Einmalpasswort: {{otp}} von {{brand}}",
    "en-GB": _ENGLISH,
    "en-US": _ENGLISH,
    "es-419": _SPANISH,
    "es-ES": _SPANISH,
    "fr-CA": _FRENCH,
    "fr-FR": _FRENCH,
    "it-IT": "Questa è la tua password monouso: {{otp}} da {{brand}}",
    "ja-JP": "{{brand}}のワンタイムパスワードは{{otp}}です",
    "ko-KR": "{{brand}}의 일회용 비밀번호는 {{otp}}입니다",
    "pt-BR": "Esta é sua senha de uso único: {{otp}} de {{brand}}",
    "zh-CN": "您的一次性密码是{{otp}}，来自{{brand}}",
    "zh-TW": "您的一次性密碼是{{otp}}，來自{{brand}}",
}
"""What a message says, by Language. AWS tells the languages and the English text; the others are
ours. Each is one SMS, whatever the brand, if the brand is in the alphabet of the text."""

_NUMBER = re.compile(r"\+?[0-9]+")


def send(
    runtime: Runtime,
    application_id: str,
    request: wire.SendOTPMessageRequestParameters,
    *,
    idempotency_key: str | None = None,
    caller: str = "",
) -> intake.Accepted:
    """Accept a message with a new code, which takes the place of the last one for the same
    reference and number. It is sent within the code's validity or not at all.

    Raises `BadRequest`, `NotFound` for an unknown application, `Conflict` if the idempotency key
    belongs to another request, and `TooManyRequests` for too many codes to one number. Under the
    key of a request that is stored no second code is made.
    """
    asked = wire.storable(request)
    check(request)
    length = request.CodeLength or CODE_LENGTH
    code = store.NewCode(
        reference_id=request.ReferenceId,
        destination=request.DestinationIdentity,
        code=f"{secrets.randbelow(10**length):0{length}}",
        allowed=request.AllowedAttempts or ALLOWED_ATTEMPTS,
        most_an_hour=runtime.settings.codes_per_hour,
    )
    return intake.accept_code(
        runtime,
        application_id,
        _message(request),
        code,
        validity=60.0 * (request.ValidityPeriod or VALIDITY_PERIOD),
        asked=asked,
        idempotency_key=idempotency_key,
        caller=caller,
    )


def verify(
    runtime: Runtime, application_id: str, request: wire.VerifyOTPMessageRequestParameters
) -> wire.VerificationResponse:
    """Whether the code is the last one sent for this reference and number, and good still; then it
    is used up. Nothing tells one that is wrong from one that is expired, used or was never sent.

    Raises `BadRequest`, and `NotFound` for an unknown application.
    """
    wire.storable(request)
    _check_key(request)
    if runtime.channels.enabled(application_id) is None:
        raise wire.NotFound("Resource not found")
    valid = store.verify_code(
        runtime.db, application_id, request.ReferenceId, request.DestinationIdentity, request.Otp
    )
    return wire.VerificationResponse(Valid=valid)


def check(request: wire.SendOTPMessageRequestParameters) -> None:
    """`BadRequest` that names the member, unless a request keeps to Pinpoint's limits."""
    if request.Channel != "SMS":
        raise wire.BadRequest("Channel: must be SMS")
    if not 1 <= len(request.BrandName) <= bounds.MAX_BRAND:
        raise wire.BadRequest(f"BrandName: must have 1 to {bounds.MAX_BRAND} characters")
    _check_key(request)
    if not request.OriginationIdentity.strip():
        raise wire.BadRequest("OriginationIdentity: must not be empty")
    if request.Language is not None and request.Language not in bounds.LANGUAGES:
        raise wire.BadRequest(f"Language: must be one of {', '.join(bounds.LANGUAGES)}")
    for member, (least, most) in _RANGES.items():
        value = getattr(request, member)
        if value is not None and not least <= value <= most:
            raise wire.BadRequest(f"{member}: must be {least} to {most}")


def _check_key(
    request: wire.SendOTPMessageRequestParameters | wire.VerifyOTPMessageRequestParameters,
) -> None:
    if not 1 <= len(request.ReferenceId) <= bounds.MAX_REFERENCE:
        raise wire.BadRequest(f"ReferenceId: must have 1 to {bounds.MAX_REFERENCE} characters")
    if not phone.is_e164(request.DestinationIdentity):
        raise wire.BadRequest(
            "DestinationIdentity: must be a phone number in E.164, such as +14255550199"
        )


def _message(request: wire.SendOTPMessageRequestParameters) -> wire.MessageRequest:
    """The text message, whose code is missing."""
    sender = request.OriginationIdentity.strip()
    is_number = _NUMBER.fullmatch(sender) is not None
    sms = wire.SMSMessage(
        Body=TEXTS[request.Language or LANGUAGE],
        MessageType=wire.MessageType.TRANSACTIONAL,
        OriginationNumber=sender if is_number else None,
        SenderId=None if is_number else sender,
        EntityId=request.EntityId,
        TemplateId=request.TemplateId,
        Substitutions={"brand": [request.BrandName]},
    )
    address = wire.AddressConfiguration(ChannelType=wire.ChannelType.SMS)
    return wire.MessageRequest(
        MessageConfiguration=wire.DirectMessageConfiguration(SMSMessage=sms),
        Addresses={request.DestinationIdentity: address},
    )
