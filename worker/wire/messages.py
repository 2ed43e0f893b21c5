"""The content of a message, one shape a channel."""

from __future__ import annotations

from worker.wire import enums, parts
from worker.wire.parts import Shape


class DefaultMessage(Shape, frozen=True):
    Body: str | None = None
    Substitutions: dict[str, list[str]] | None = None


class DefaultPushNotificationMessage(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    Data: dict[str, str] | None = None
    SilentPush: bool | None = None
    Substitutions: dict[str, list[str]] | None = None
    Title: str | None = None
    Url: str | None = None


class APNSMessage(Shape, frozen=True):
    APNSPushType: str | None = None
    Action: enums.Action | None = None
    Badge: int | None = None
    Body: str | None = None
    Category: str | None = None
    CollapseId: str | None = None
    Data: dict[str, str] | None = None
    MediaUrl: str | None = None
    PreferredAuthenticationMethod: str | None = None
    Priority: str | None = None
    RawContent: str | None = None
    SilentPush: bool | None = None
    Sound: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    ThreadId: str | None = None
    TimeToLive: int | None = None
    Title: str | None = None
    Url: str | None = None


class GCMMessage(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    CollapseKey: str | None = None
    Data: dict[str, str] | None = None
    IconReference: str | None = None
    ImageIconUrl: str | None = None
    ImageUrl: str | None = None
    PreferredAuthenticationMethod: str | None = None
    Priority: str | None = None
    RawContent: str | None = None
    RestrictedPackageName: str | None = None
    SilentPush: bool | None = None
    SmallImageIconUrl: str | None = None
    Sound: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    TimeToLive: int | None = None
    Title: str | None = None
    Url: str | None = None


class ADMMessage(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    ConsolidationKey: str | None = None
    Data: dict[str, str] | None = None
    ExpiresAfter: str | None = None
    IconReference: str | None = None
    ImageIconUrl: str | None = None
    ImageUrl: str | None = None
    MD5: str | None = None
    RawContent: str | None = None
    SilentPush: bool | None = None
    SmallImageIconUrl: str | None = None
    Sound: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    Title: str | None = None
    Url: str | None = None


class BaiduMessage(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    Data: dict[str, str] | None = None
    IconReference: str | None = None
    ImageIconUrl: str | None = None
    ImageUrl: str | None = None
    RawContent: str | None = None
    SilentPush: bool | None = None
    SmallImageIconUrl: str | None = None
    Sound: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    TimeToLive: int | None = None
    Title: str | None = None
    Url: str | None = None


class SMSMessage(Shape, frozen=True):
    Body: str | None = None
    Keyword: str | None = None
    MediaUrl: str | None = None
    MessageType: enums.MessageType | None = None
    OriginationNumber: str | None = None
    SenderId: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    EntityId: str | None = None
    TemplateId: str | None = None


class VoiceMessage(Shape, frozen=True):
    Body: str | None = None
    LanguageCode: str | None = None
    OriginationNumber: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    VoiceId: str | None = None


class EmailMessage(Shape, frozen=True):
    Body: str | None = None
    FeedbackForwardingAddress: str | None = None
    FromAddress: str | None = None
    RawEmail: parts.RawEmail | None = None
    ReplyToAddresses: list[str] | None = None
    SimpleEmail: parts.SimpleEmail | None = None
    Substitutions: dict[str, list[str]] | None = None
