"""What SendMessages is asked: the message, and who gets it."""

from __future__ import annotations

from typing import Annotated

from worker.wire import bounds, enums, messages, parts
from worker.wire.bounds import told
from worker.wire.parts import Shape

_RECIPIENTS = told(maxProperties=bounds.MAX_RECIPIENTS)
_USERS = told(minProperties=1, maxProperties=bounds.MAX_USERS, propertyNames={"minLength": 1})
_OptOut = Annotated[str, told(enum=["ALL", "NONE", ""])]
_Status = Annotated[str, told(enum=["ACTIVE", "INACTIVE", ""])]
_BATCH = told(minItems=1, maxItems=bounds.MAX_ENDPOINT_BATCH)
_Pattern = Annotated[str, told(maxLength=bounds.MAX_PATTERN)]
_PATTERNS = told(minItems=1, maxItems=bounds.MAX_PATTERNS)


class EndpointSendConfiguration(Shape, frozen=True):
    """What differs for one endpoint (or user)."""

    BodyOverride: str | None = None
    Context: dict[str, str] | None = None
    RawContent: str | None = None
    Substitutions: dict[str, list[str]] | None = None
    TitleOverride: str | None = None


class AddressConfiguration(EndpointSendConfiguration, frozen=True):
    """What differs for one address, and which channel it belongs to."""

    ChannelType: enums.ChannelType | None = None


class DirectMessageConfiguration(Shape, frozen=True):
    """The content, for whichever channels it is to go to."""

    ADMMessage: messages.ADMMessage | None = None
    APNSMessage: messages.APNSMessage | None = None
    BaiduMessage: messages.BaiduMessage | None = None
    DefaultMessage: messages.DefaultMessage | None = None
    DefaultPushNotificationMessage: messages.DefaultPushNotificationMessage | None = None
    EmailMessage: messages.EmailMessage | None = None
    GCMMessage: messages.GCMMessage | None = None
    SMSMessage: messages.SMSMessage | None = None
    VoiceMessage: messages.VoiceMessage | None = None


class MessageRequest(Shape, frozen=True):
    """The body of SendMessages: one message for up to 100 recipients."""

    MessageConfiguration: DirectMessageConfiguration
    Addresses: Annotated[dict[str, AddressConfiguration], _RECIPIENTS] | None = None
    Endpoints: Annotated[dict[str, EndpointSendConfiguration], _RECIPIENTS] | None = None
    Context: dict[str, str] | None = None
    TemplateConfiguration: parts.TemplateConfiguration | None = None
    TraceId: str | None = None


class SendUsersMessageRequest(Shape, frozen=True):
    """The body of SendUsersMessages: one message for the endpoints of up to 100 users."""

    MessageConfiguration: DirectMessageConfiguration
    Users: Annotated[dict[str, EndpointSendConfiguration], _USERS]
    Context: dict[str, str] | None = None
    TemplateConfiguration: parts.TemplateConfiguration | None = None
    TraceId: str | None = None


class EndpointRequest(Shape, frozen=True):
    """What a caller says of an endpoint."""

    Address: str | None = None
    Attributes: dict[str, list[str]] | None = None
    ChannelType: enums.ChannelType | None = None
    Demographic: parts.EndpointDemographic | None = None
    EffectiveDate: str | None = None
    EndpointStatus: _Status | None = None
    Location: parts.EndpointLocation | None = None
    Metrics: dict[str, float] | None = None
    OptOut: _OptOut | None = None
    RequestId: str | None = None
    User: parts.EndpointUser | None = None


class EndpointBatchItem(EndpointRequest, frozen=True):
    """What a caller says of one endpoint of several."""

    Id: str | None = None


class EndpointBatchRequest(Shape, frozen=True):
    """The body of UpdateEndpointsBatch."""

    Item: Annotated[list[EndpointBatchItem], _BATCH]


class UpdateAttributesRequest(Shape, frozen=True):
    """The body of RemoveAttributes: names, or patterns of names."""

    Blacklist: Annotated[list[_Pattern] | None, _PATTERNS] = None
