"""Message templates: what they are asked for with, and how they are told."""

from __future__ import annotations

from worker.wire import enums, parts
from worker.wire.parts import Shape


class AndroidPushNotificationTemplate(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    ImageIconUrl: str | None = None
    ImageUrl: str | None = None
    RawContent: str | None = None
    SmallImageIconUrl: str | None = None
    Sound: str | None = None
    Title: str | None = None
    Url: str | None = None


class APNSPushNotificationTemplate(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    MediaUrl: str | None = None
    RawContent: str | None = None
    Sound: str | None = None
    Title: str | None = None
    Url: str | None = None


class DefaultPushNotificationTemplate(Shape, frozen=True):
    Action: enums.Action | None = None
    Body: str | None = None
    Sound: str | None = None
    Title: str | None = None
    Url: str | None = None


class TemplateRequest(Shape, frozen=True):
    """What a template of any type is created or updated with. `DefaultSubstitutions` is a JSON
    object, as a string."""

    DefaultSubstitutions: str | None = None
    tags: dict[str, str] | None = None
    TemplateDescription: str | None = None


class EmailTemplateRequest(TemplateRequest, frozen=True):
    Headers: list[parts.MessageHeader] | None = None
    HtmlPart: str | None = None
    RecommenderId: str | None = None
    Subject: str | None = None
    TextPart: str | None = None


class SMSTemplateRequest(TemplateRequest, frozen=True):
    Body: str | None = None
    RecommenderId: str | None = None


class PushNotificationTemplateRequest(TemplateRequest, frozen=True):
    ADM: AndroidPushNotificationTemplate | None = None
    APNS: APNSPushNotificationTemplate | None = None
    Baidu: AndroidPushNotificationTemplate | None = None
    Default: DefaultPushNotificationTemplate | None = None
    GCM: AndroidPushNotificationTemplate | None = None
    RecommenderId: str | None = None


class VoiceTemplateRequest(TemplateRequest, frozen=True):
    Body: str | None = None
    LanguageCode: str | None = None
    VoiceId: str | None = None


class EmailTemplateResponse(EmailTemplateRequest, frozen=True, kw_only=True):
    """An email template as it is stored."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: enums.TemplateType
    Arn: str | None = None
    Version: str | None = None


class SMSTemplateResponse(SMSTemplateRequest, frozen=True, kw_only=True):
    """An SMS template as it is stored."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: enums.TemplateType
    Arn: str | None = None
    Version: str | None = None


class PushNotificationTemplateResponse(PushNotificationTemplateRequest, frozen=True, kw_only=True):
    """A push template as it is stored."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: enums.TemplateType
    Arn: str | None = None
    Version: str | None = None


class VoiceTemplateResponse(VoiceTemplateRequest, frozen=True, kw_only=True):
    """A voice template as it is stored."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: enums.TemplateType
    Arn: str | None = None
    Version: str | None = None


class TemplateResponse(TemplateRequest, frozen=True, kw_only=True):
    """One template of a list, without its content."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: enums.TemplateType
    Arn: str | None = None
    Version: str | None = None


class TemplatesResponse(Shape, frozen=True):
    Item: list[TemplateResponse]
    NextToken: str | None = None


class TemplateVersionResponse(Shape, frozen=True):
    """One version of a list, without its content."""

    CreationDate: str
    LastModifiedDate: str
    TemplateName: str
    TemplateType: str
    DefaultSubstitutions: str | None = None
    TemplateDescription: str | None = None
    Version: str | None = None


class TemplateVersionsResponse(Shape, frozen=True):
    Item: list[TemplateVersionResponse]
    Message: str | None = None
    NextToken: str | None = None
    RequestID: str | None = None


class TemplateActiveVersionRequest(Shape, frozen=True):
    """`Version` is a number or `latest`."""

    Version: str | None = None


class CreateTemplateMessageBody(Shape, frozen=True):
    Arn: str | None = None
    Message: str | None = None
    RequestID: str | None = None
