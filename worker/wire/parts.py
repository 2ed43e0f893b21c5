"""Shapes that are parts of other shapes."""

from __future__ import annotations

import msgspec


class Shape(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What all of Pinpoint's shapes have in common: members that are absent are not written."""


class RawEmail(Shape, frozen=True):
    """A MIME message; base64 in JSON."""

    Data: bytes | None = None


class SimpleEmailPart(Shape, frozen=True):
    Charset: str | None = None
    Data: str | None = None


class MessageHeader(Shape, frozen=True):
    Name: str | None = None
    Value: str | None = None


class SimpleEmail(Shape, frozen=True):
    HtmlPart: SimpleEmailPart | None = None
    Subject: SimpleEmailPart | None = None
    TextPart: SimpleEmailPart | None = None
    Headers: list[MessageHeader] | None = None


class Template(Shape, frozen=True):
    Name: str | None = None
    Version: str | None = None


class TemplateConfiguration(Shape, frozen=True):
    EmailTemplate: Template | None = None
    PushTemplate: Template | None = None
    SMSTemplate: Template | None = None
    VoiceTemplate: Template | None = None
    InAppTemplate: Template | None = None


class EndpointDemographic(Shape, frozen=True):
    AppVersion: str | None = None
    Locale: str | None = None
    Make: str | None = None
    Model: str | None = None
    ModelVersion: str | None = None
    Platform: str | None = None
    PlatformVersion: str | None = None
    Timezone: str | None = None


class EndpointLocation(Shape, frozen=True):
    City: str | None = None
    Country: str | None = None
    Latitude: float | None = None
    Longitude: float | None = None
    PostalCode: str | None = None
    Region: str | None = None


class EndpointUser(Shape, frozen=True):
    UserAttributes: dict[str, list[str]] | None = None
    UserId: str | None = None
