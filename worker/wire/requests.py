"""What SendMessages is asked: the message, and who gets it."""

from __future__ import annotations

from worker.wire import enums, messages, parts
from worker.wire.parts import Shape


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
    Addresses: dict[str, AddressConfiguration] | None = None
    Endpoints: dict[str, EndpointSendConfiguration] | None = None
    Context: dict[str, str] | None = None
    TemplateConfiguration: parts.TemplateConfiguration | None = None
    TraceId: str | None = None


class SendUsersMessageRequest(Shape, frozen=True):
    """The body of SendUsersMessages: one message for the endpoints of up to 100 users."""

    MessageConfiguration: DirectMessageConfiguration
    Users: dict[str, EndpointSendConfiguration]
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
    EndpointStatus: str | None = None
    Location: parts.EndpointLocation | None = None
    Metrics: dict[str, float] | None = None
    OptOut: str | None = None
    RequestId: str | None = None
    User: parts.EndpointUser | None = None


class EndpointBatchItem(EndpointRequest, frozen=True):
    """What a caller says of one endpoint of several."""

    Id: str | None = None


class EndpointBatchRequest(Shape, frozen=True):
    """The body of UpdateEndpointsBatch."""

    Item: list[EndpointBatchItem]


class UpdateAttributesRequest(Shape, frozen=True):
    """The body of RemoveAttributes: names, or patterns of names."""

    Blacklist: list[str] | None = None
