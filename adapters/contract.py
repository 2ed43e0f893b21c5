"""The seam between the worker and the providers: a `Delivery` goes in, an `Outcome` comes out.

An adapter is a class whose keyword-only `__init__` is its configuration. It sends one message and
returns a verdict. It never raises, retries, sleeps or looks anything up:

* before the request left (name not found, refused, TLS failure): `TEMPORARY_FAILURE`;
* after it left, when no answer came: `indeterminate`, since the provider may have accepted it;
* an answer: what the provider's code table at the top of the adapter's file says.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

from adapters.messages import Message


class ChannelType(enum.StrEnum):
    """Pinpoint's ChannelType. `PUSH` and `IN_APP` are in the model but cannot be sent to."""

    PUSH = "PUSH"
    GCM = "GCM"
    APNS = "APNS"
    APNS_SANDBOX = "APNS_SANDBOX"
    APNS_VOIP = "APNS_VOIP"
    APNS_VOIP_SANDBOX = "APNS_VOIP_SANDBOX"
    ADM = "ADM"
    SMS = "SMS"
    VOICE = "VOICE"
    EMAIL = "EMAIL"
    BAIDU = "BAIDU"
    CUSTOM = "CUSTOM"
    IN_APP = "IN_APP"


class DeliveryStatus(enum.StrEnum):
    """Pinpoint's DeliveryStatus. `TIMEOUT` is in its documentation but not in its model."""

    SUCCESSFUL = "SUCCESSFUL"
    THROTTLED = "THROTTLED"
    TEMPORARY_FAILURE = "TEMPORARY_FAILURE"
    PERMANENT_FAILURE = "PERMANENT_FAILURE"
    UNKNOWN_FAILURE = "UNKNOWN_FAILURE"
    OPT_OUT = "OPT_OUT"
    DUPLICATE = "DUPLICATE"
    TIMEOUT = "TIMEOUT"


class Fault(enum.StrEnum):
    """Whose fault a failure was: only provider and credential faults say anything about the
    provider, only recipient faults say anything about the address."""

    RECIPIENT = "RECIPIENT"
    MESSAGE = "MESSAGE"
    CREDENTIALS = "CREDENTIALS"
    PROVIDER = "PROVIDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to hand one message to a provider.

    `id` is the message's own UUID in canonical form. It is the same for every attempt, so what is
    derived from it (apns-id, Message-ID, webhook-id) lets a provider recognise a repetition.
    `age` is the time since the message was accepted, which is when a push's time to live began, and
    `timeout` the time the adapter has for everything, both in seconds. It does not show whom it is
    for, nor what it says.
    """

    id: str
    application_id: str
    request_id: str
    channel: ChannelType
    address: str = field(repr=False)
    message: Message = field(repr=False)
    attempt: int = 1
    age: float = 0.0
    timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt came to.

    `status_code` and `status_message` are what a Pinpoint caller sees: an HTTP-like code and the
    provider's own words. `message_id` is the provider's id for the message, `updated_token` the
    address it wants used from now on. `retry_after` is the provider's wish, in seconds.
    `indeterminate` means the request left and no answer came. `dead_address` means that the
    provider says this address will never work again; `dead_since` is since when, in seconds of Unix
    time, if it says so.
    """

    status: DeliveryStatus
    status_code: int
    status_message: str = ""
    message_id: str | None = None
    updated_token: str | None = field(default=None, repr=False)
    retry_after: float | None = None
    fault: Fault | None = None
    indeterminate: bool = False
    dead_address: bool = False
    dead_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a provider says later of a message that it took.

    `outcome` is what it says became of it; its `message_id` is the provider's id. `final` if no
    more is to come. `record_status` is Pinpoint's word for it in `_SMS` events, such as DELIVERED.
    """

    outcome: Outcome
    final: bool
    record_status: str


class Forged(Exception):
    """A receipt that the provider did not sign."""


class Adapter(Protocol):
    """What every adapter is. `aclose` may be called twice.

    An adapter may also have

    * `async check(timeout: float) -> str | None`: ask the provider whether the settings work, in so
      many seconds; what is wrong, in one line that says what to do, or None;
    * `async find(delivery) -> Outcome | None`: ask the provider what became of a message that may
      have been sent; None if it does not know;
    * `sender: str | None`: who messages are from that name no sender themselves;
    * the static method `receipt(settings, message, headers, body) -> Receipt | None`: what a POST
      of the provider says of the delivery with the id `message`, by the settings that it was sent
      with; None if that is nothing yet. Raises `Forged` if the provider did not sign it. Headers
      are by their names in lower case. The provider is told where to post by the setting
      `status_callback`, a URL to which `message` is added as a query parameter;
    * `expires_at: datetime | None`: when a certificate or key among the settings ends.
    """

    async def send(self, delivery: Delivery) -> Outcome: ...

    async def aclose(self) -> None: ...


def successful(*, message_id: str | None = None, text: str = "", code: int = 200) -> Outcome:
    """The provider accepted the message."""
    return Outcome(
        status=DeliveryStatus.SUCCESSFUL,
        status_code=code,
        status_message=text,
        message_id=message_id,
    )


def permanent(code: int, text: str, *, fault: Fault, dead_address: bool = False) -> Outcome:
    """The provider refused, and would refuse again."""
    return Outcome(
        status=DeliveryStatus.PERMANENT_FAILURE,
        status_code=code,
        status_message=text,
        fault=fault,
        dead_address=dead_address,
    )


def temporary(
    code: int, text: str, *, fault: Fault = Fault.PROVIDER, retry_after: float | None = None
) -> Outcome:
    """The provider did not take it this time, or was not reached."""
    return Outcome(
        status=DeliveryStatus.TEMPORARY_FAILURE,
        status_code=code,
        status_message=text,
        fault=fault,
        retry_after=retry_after,
    )


def throttled(code: int, text: str, *, retry_after: float | None = None) -> Outcome:
    """The provider asks for fewer messages; the attempt does not count."""
    return Outcome(
        status=DeliveryStatus.THROTTLED,
        status_code=code,
        status_message=text,
        fault=Fault.PROVIDER,
        retry_after=retry_after,
    )


def indeterminate(text: str, *, code: int = 504) -> Outcome:
    """The request left and no answer came: the provider may have accepted it."""
    return Outcome(
        status=DeliveryStatus.UNKNOWN_FAILURE,
        status_code=code,
        status_message=text,
        fault=Fault.PROVIDER,
        indeterminate=True,
    )
