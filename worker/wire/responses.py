"""What SendMessages answers, and what our own GET of a request's outcomes answers."""

from __future__ import annotations

from worker.wire import enums, parts
from worker.wire.parts import Shape


class MessageResult(Shape, frozen=True):
    """What became of the message for one address."""

    DeliveryStatus: enums.DeliveryStatus
    StatusCode: int
    StatusMessage: str | None = None
    MessageId: str | None = None
    UpdatedToken: str | None = None


class EndpointMessageResult(MessageResult, frozen=True):
    """What became of the message for one endpoint."""

    Address: str | None = None


class MessageResponse(Shape, frozen=True):
    """The answer to SendMessages. `Result` is keyed by address, `EndpointResult` by endpoint id;
    a map nobody asked for is left out, as Pinpoint does."""

    ApplicationId: str
    RequestId: str | None = None
    Result: dict[str, MessageResult] | None = None
    EndpointResult: dict[str, EndpointMessageResult] | None = None


class SendUsersMessageResponse(Shape, frozen=True):
    """The answer to SendUsersMessages, by user and then by endpoint id."""

    ApplicationId: str
    RequestId: str | None = None
    Result: dict[str, dict[str, EndpointMessageResult]] | None = None


class MessageBody(Shape, frozen=True):
    """The body of every error, and of operations that only say that they were accepted."""

    Message: str | None = None
    RequestID: str | None = None


class EndpointResponse(Shape, frozen=True):
    """An endpoint as it is stored."""

    Address: str | None = None
    ApplicationId: str | None = None
    Attributes: dict[str, list[str]] | None = None
    ChannelType: enums.ChannelType | None = None
    CohortId: str | None = None
    CreationDate: str | None = None
    Demographic: parts.EndpointDemographic | None = None
    EffectiveDate: str | None = None
    EndpointStatus: str | None = None
    Id: str | None = None
    Location: parts.EndpointLocation | None = None
    Metrics: dict[str, float] | None = None
    OptOut: str | None = None
    RequestId: str | None = None
    User: parts.EndpointUser | None = None


class EndpointsResponse(Shape, frozen=True):
    """A user's endpoints."""

    Item: list[EndpointResponse]


class AttributesResource(Shape, frozen=True):
    """Which attributes RemoveAttributes has removed."""

    ApplicationId: str
    AttributeType: str
    Attributes: list[str] | None = None
