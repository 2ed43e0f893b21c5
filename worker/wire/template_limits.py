"""Pinpoint's limits for message templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from worker.wire import bounds, limits, templates
from worker.wire.errors import BadRequest

_NAME = re.compile(bounds.TEMPLATE_NAME)
_MOST_OF_PART: Mapping[str, int] = {
    "ADM": 6_000,
    "APNS": 4_000,
    "Baidu": 4_000,
    "Default": 4_000,
    "GCM": 4_000,
}

TemplateRequest = (
    templates.EmailTemplateRequest
    | templates.SMSTemplateRequest
    | templates.PushNotificationTemplateRequest
    | templates.VoiceTemplateRequest
)


def check_template_name(name: str) -> None:
    """`BadRequest` for a name that no template may have."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            "TemplateName: must be 1 to 128 letters, digits, underscores and hyphens, and start "
            "with a letter or a digit"
        )


def check_template(request: TemplateRequest) -> None:
    """`BadRequest` that names the member that breaks a limit."""
    limits.storable(request)
    _within(request.TemplateDescription, bounds.MAX_TEMPLATE_DESCRIPTION, "TemplateDescription")
    _within(request.DefaultSubstitutions, bounds.MAX_DEFAULT_SUBSTITUTIONS, "DefaultSubstitutions")
    if request.DefaultSubstitutions:
        _check_defaults(request.DefaultSubstitutions)
    match request:
        case templates.EmailTemplateRequest():
            parts = (request.Subject, request.TextPart, request.HtmlPart)
            _within(
                "".join(part or "" for part in parts),
                bounds.MAX_EMAIL_TEMPLATE,
                "Subject and parts",
            )
            if len(request.Headers or ()) > bounds.MAX_TEMPLATE_HEADERS:
                raise BadRequest(f"Headers: there can be at most {bounds.MAX_TEMPLATE_HEADERS}")
        case templates.PushNotificationTemplateRequest():
            for name, most in _MOST_OF_PART.items():
                _within(_texts(getattr(request, name)), most, name)
        case templates.SMSTemplateRequest():
            _within(request.Body, bounds.MAX_SMS_TEMPLATE, "Body")
        case _:
            _within(request.Body, bounds.MAX_VOICE_TEMPLATE, "Body")


def _texts(part: Any) -> str:
    """What a push template's part says, which is what counts."""
    values = msgspec.structs.asdict(part) if part is not None else {}
    return "".join(value for name, value in values.items() if value and name != "Action")


def _within(text: str | None, most: int, member: str) -> None:
    if text and len(text) > most:
        raise BadRequest(f"{member}: {len(text)} characters are more than {most}")


def _check_defaults(text: str) -> None:
    try:
        values = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(map(_is_plain, values.values())):
        raise BadRequest("DefaultSubstitutions: must be a JSON object of names and texts")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return value is None or isinstance(value, str | int | float)
