"""What the checker compares: what callers were told, what the rows say, what the providers got.

Plain values. Recipients are known by their address, so that a channel whose protocol carries no id
of ours (FCM) is joined as well as any other; where two requests share one, by our id. Times are
seconds since the epoch, all on one machine.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


class Answer(enum.StrEnum):
    """What a caller knows of a request: it was accepted, it was refused, or nothing."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a caller, however often it was sent. `request_ids` are those of every answer
    that it got, `told` the last answer's (DeliveryStatus, StatusCode, MessageId) by address."""

    name: str
    application_id: str
    addresses: Collection[str]
    answer: Answer
    status: int | None = None
    request_ids: tuple[str, ...] = ()
    told: Mapping[str, tuple[str, int, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipient's row at the end."""

    id: str
    request_id: str
    application_id: str
    address: str
    channel: str
    state: str
    status: str | None
    code: int | None
    message_id: str | None
    attempt: int
    token: int
    accepted_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that did not settle its message, or a result that came too late."""

    row: str
    token: int
    status: str
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One update of a row, as the database's own trigger saw it, in the order of `number`."""

    number: int
    row: str
    at: float
    old_state: str
    state: str
    old_token: int
    token: int
    old_attempt: int
    attempt: int
    old_lease_until: float | None
    lease_until: float | None
    lost: bool = False
    """Whether it is the word of a rescue: its holder was taken for lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A message that a provider's double read. `accepted` is what became of it there, `message_id`
    our own id if the protocol carries it, `provider_id` what it was answered with."""

    channel: str
    address: str
    at: float
    accepted: bool
    message_id: str | None = None
    provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the deployment promised. Times are in seconds; `rings_bound` None checks no bound."""

    max_attempts: int
    lease: float
    at_most_once: Collection[str] = frozenset({"SMS", "VOICE"})
    slack: float = 1.0
    """How far the clocks of the database and of a double's reading may be apart: a provider that
    is starved of CPU reads late what was sent in time."""
    rings_bound: int | None = None
    quiet_since: float | None = None
    """When the last fault had ended; from then on I16 holds."""
    oldest_sending: float | None = None
    dedupe_window: float = 0.0
    """Within it the same message is not sent again (I17); 0 is no window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """Everything that is known of a run."""

    rules: Rules
    calls: Sequence[Call] = ()
    rows: Sequence[Row] = ()
    attempts: Sequence[Attempt] = ()
    changes: Sequence[Change] = ()
    receipts: Sequence[Receipt] = ()
    peak_rings: int = 0
    leaks: Sequence[str] = ()
