"""Event streams, and what apps report to them."""

from __future__ import annotations

from worker.wire.parts import Shape
from worker.wire.requests import EndpointRequest


class WriteEventStream(Shape, frozen=True):
    """The body of PutEventStream."""

    DestinationStreamArn: str
    RoleArn: str


class EventStream(Shape, frozen=True):
    """Where an application's events go."""

    ApplicationId: str
    DestinationStreamArn: str
    RoleArn: str
    ExternalId: str | None = None
    LastModifiedDate: str | None = None
    LastUpdatedBy: str | None = None


class PublicEndpoint(EndpointRequest, frozen=True):
    """What an app says of the endpoint that it is, beside its events. A word that is none in it is
    that endpoint's mistake, not the request's."""

    EndpointStatus: str | None = None
    OptOut: str | None = None


class Session(Shape, frozen=True):
    Id: str
    StartTimestamp: str
    Duration: int | None = None
    StopTimestamp: str | None = None


class Event(Shape, frozen=True):
    """Something that happened in an app."""

    EventType: str
    Timestamp: str
    AppPackageName: str | None = None
    AppTitle: str | None = None
    AppVersionCode: str | None = None
    Attributes: dict[str, str] | None = None
    ClientSdkVersion: str | None = None
    Metrics: dict[str, float] | None = None
    SdkName: str | None = None
    Session: Session | None = None


class EventsBatch(Shape, frozen=True):
    """One endpoint and its events, by ids of the app's own."""

    Endpoint: PublicEndpoint
    Events: dict[str, Event]


class EventsRequest(Shape, frozen=True):
    """The body of PutEvents, by endpoint id."""

    BatchItem: dict[str, EventsBatch]


class EndpointItemResponse(Shape, frozen=True):
    Message: str | None = None
    StatusCode: int | None = None


class EventItemResponse(Shape, frozen=True):
    Message: str | None = None
    StatusCode: int | None = None


class ItemResponse(Shape, frozen=True):
    EndpointItemResponse: EndpointItemResponse | None = None
    EventsItemResponse: dict[str, EventItemResponse] | None = None


class EventsResponse(Shape, frozen=True):
    """The answer to PutEvents, by endpoint id."""

    Results: dict[str, ItemResponse] | None = None
