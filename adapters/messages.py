"""What is sent, one value per kind of channel, as near to the provider's wire as a value can be.

The worker builds these from Pinpoint's request; an adapter adds only what its configuration knows
(a topic, a token, a sender that was left open) and puts the result on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsPush:
    """A push for Apple. `payload` is the JSON document; the rest become `apns-*` headers.

    `push_type` is `alert`, `background`, `voip`, `complication`, `fileprovider` or `mdm`;
    `priority` 5 or 10; `time_to_live` in seconds, where 0 means "try once, do not store";
    `authentication` is `CERTIFICATE` or `TOKEN` if the caller prefers one.
    """

    payload: Mapping[str, Any]
    push_type: str = "alert"
    priority: int = 10
    time_to_live: int | None = None
    collapse_id: str | None = None
    authentication: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmPush:
    """A push for Firebase: the `message` object of HTTP v1 without its `token`."""

    message: Mapping[str, Any] = field(repr=False)
    validate_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmPush:
    """A push for Amazon Device Messaging. `expires_after` is in seconds."""

    data: Mapping[str, str]
    consolidation_key: str | None = None
    expires_after: int | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaiduPush:
    """A push for Baidu Cloud Push: `message` is sent as a JSON string. `expires` is in seconds."""

    message: Mapping[str, str] = field(repr=False)
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """A text message. `promotional` is Pinpoint's MessageType; senders may be left open. A message
    with a `time_to_live`, in seconds since it was accepted, is worth nothing later."""

    body: str = field(repr=False)
    promotional: bool = False
    origination_number: str | None = None
    sender_id: str | None = None
    keyword: str | None = None
    entity_id: str | None = None
    template_id: str | None = None
    media_url: str | None = None
    time_to_live: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A call that speaks `body`. `voice_id` is an Amazon Polly voice's name."""

    body: str = field(repr=False)
    origination_number: str | None = None
    language_code: str | None = None
    voice_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Text and the charset it is to be sent in."""

    data: str = field(repr=False)
    charset: str = "UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An email to be built. `from_address` None means the channel's own."""

    from_address: str | None
    subject: Part
    text: Part | None = None
    html: Part | None = None
    reply_to: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    feedback_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEmail:
    """A whole MIME message from the caller. The envelope's recipient is the delivery's address."""

    data: bytes
    from_address: str | None = None
    feedback_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """An event for a webhook: `data` is the JSON object the receiver gets."""

    data: Mapping[str, Any] = field(default_factory=dict)


Message = ApnsPush | FcmPush | AdmPush | BaiduPush | Sms | Voice | Email | RawEmail | Custom
