"""What our own GET of a request answers. Pinpoint has no such operation, so these shapes are ours;
they use Pinpoint's words."""

from __future__ import annotations

from worker.wire import enums
from worker.wire.parts import Shape


class MessageOutcome(Shape, frozen=True):
    """What became of the message for one recipient by now. Unlike SendMessages' answer it never
    says SUCCESSFUL before the provider accepted."""

    State: str
    """QUEUED, SENDING or DONE; see `worker.store.tables`."""
    DeliveryStatus: enums.DeliveryStatus | None
    """What the last attempt came to; null before the first."""
    StatusCode: int | None
    StatusMessage: str | None
    MessageId: str | None
    UpdatedToken: str | None
    Attempts: int
    ChannelType: str | None
    DueAt: str | None = None
    """When the next attempt is due, ISO 8601 in UTC; only in QUEUED."""
    Address: str | None = None
    """Only of an endpoint; an address has it as its key."""


class MessageOutcomes(Shape, frozen=True):
    """What became of a request by now: `Result` by address, `EndpointResult` by endpoint id,
    and for SendUsersMessages `UserResult` by user and then by endpoint id. `Settled` if nothing of
    it will change any more."""

    ApplicationId: str
    RequestId: str
    Settled: bool
    Result: dict[str, MessageOutcome]
    EndpointResult: dict[str, MessageOutcome]
    UserResult: dict[str, dict[str, MessageOutcome]] | None = None
