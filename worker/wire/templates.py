"""Message templates: what they are asked for with, and how they are told."""

from __future__ import annotations

from typing import Annotated

from worker.wire import bounds, enums, parts
from worker.wire.apps import Tags
from worker.wire.bounds import told
from worker.wire.parts import Shape

_Defaults = Annotated[str, told(maxLength=bounds.MAX_DEFAULT_SUBSTITUTIONS)]
_Description = Annotated[str, told(maxLength=bounds.MAX_TEMPLATE_DESCRIPTION)]
_EmailText = Annotated[str, told(maxLength=bounds.MAX_EMAIL_TEMPLATE)]
_Headers = Annotated[list[parts.MessageHeader], told(maxItems=bounds.MAX_TEMPLATE_HEADERS)]
_SMSText = Annotated[str, told(maxLength=bounds.MAX_SMS_TEMPLATE)]
_VoiceText = Annotated[str, told(maxLength=bounds.MAX_VOICE_TEMPLATE)]


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

    DefaultSubstitutions: _Defaults | None = None
    tags: Tags | None = None
    TemplateDescription: _Description | None = None


class EmailTemplateRequest(TemplateRequest, frozen=True):
    Headers: _Headers | None = None
    HtmlPart: _EmailText | None = None
    RecommenderId: str | None = None
    Subject: _EmailText | None = None
    TextPart: _EmailText | None = None


class SMSTemplateRequest(TemplateRequest, frozen=True):
    Body: _SMSText | None = None
    RecommenderId: str | None = None


class PushNotificationTemplateRequest(TemplateRequest, frozen=True):
    ADM: AndroidPushNotificationTemplate | None = None
    APNS: APNSPushNotificationTemplate | None = None
    Baidu: AndroidPushNotificationTemplate | None = None
    Default: DefaultPushNotificationTemplate | None = None
    GCM: AndroidPushNotificationTemplate | None = None
    RecommenderId: str | None = None


class VoiceTemplateRequest(TemplateRequest, frozen=True):
    Body: _VoiceText | None = None
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
