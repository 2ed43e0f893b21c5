"""Failures, and what happened to a message. Pinpoint has no such operations, so these shapes are
ours; they use Pinpoint's words. Times are ISO 8601 in UTC."""

from __future__ import annotations

from worker.wire import enums
from worker.wire.parts import Shape


class Failure(Shape, frozen=True):
    """A message that failed for good."""

    Id: str
    """The message's own id, not the provider's."""
    RequestId: str
    FailedAt: str
    AcceptedAt: str
    Address: str
    DeliveryStatus: enums.DeliveryStatus
    Attempts: int
    Replay: str
    """READY to be sent again, UNSURE (it may have been delivered), DELIVERED after all, or
    REPLAYED."""
    ReplayedAs: str | None = None
    """The request that was sent instead."""
    EndpointId: str | None = None
    UserId: str | None = None
    ChannelType: str | None = None
    Provider: str | None = None
    StatusCode: int | None = None
    StatusMessage: str | None = None
    Fault: str | None = None
    """RECIPIENT, MESSAGE, CREDENTIALS or PROVIDER."""


class Failures(Shape, frozen=True):
    """A page of failures, the latest first."""

    Item: list[Failure]
    NextToken: str | None = None


class MessageStep(Shape, frozen=True):
    """Something that happened to a message. What has no time of its own has no `At`."""

    What: str
    At: str | None = None
    Provider: str | None = None
    DeliveryStatus: str | None = None
    StatusCode: int | None = None
    Fault: str | None = None
    Text: str | None = None


class MessageHistory(Shape, frozen=True):
    """All that is on record of a message, in the order in which it happened."""

    Id: str
    RequestId: str
    Address: str
    Steps: list[MessageStep]
    EndpointId: str | None = None
    UserId: str | None = None
    ChannelType: str | None = None


class MessageHistories(Shape, frozen=True):
    """The histories of a request's messages, in the order of the request."""

    Item: list[MessageHistory]
