"""What the verdicts on a push have in common, in Pinpoint's terms."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from adapters import answers
from adapters.contract import Delivery, DeliveryStatus, Fault, Outcome

_EXCERPT = 200

_Seconds = TypeVar("_Seconds", int, Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a provider's refusal means. `text` is Pinpoint's errorMessage where one is known.

    `code` is the outcome's status code, None the provider's own; `pause` is the least time to wait
    if the provider names none, in seconds; `dead` says that the address will never work again.
    """

    status: DeliveryStatus
    fault: Fault
    text: str
    code: int | None = None
    pause: float | None = None
    dead: bool = False


# The texts of the first two, and their codes, are as Pinpoint was seen to answer.
GONE = Verdict(
    status=DeliveryStatus.PERMANENT_FAILURE,
    fault=Fault.RECIPIENT,
    text="Unregistered or expired token",
    code=410,
    dead=True,
)
BAD_ADDRESS = Verdict(
    status=DeliveryStatus.PERMANENT_FAILURE,
    fault=Fault.RECIPIENT,
    text="Invalid notification",
    code=400,
    dead=True,
)
BAD_MESSAGE = Verdict(
    status=DeliveryStatus.PERMANENT_FAILURE, fault=Fault.MESSAGE, text="Invalid notification"
)
BAD_CREDENTIALS = Verdict(
    status=DeliveryStatus.PERMANENT_FAILURE,
    fault=Fault.CREDENTIALS,
    text="The provider does not accept the channel's credentials or settings",
)
STALE_CREDENTIALS = Verdict(
    status=DeliveryStatus.TEMPORARY_FAILURE,
    fault=Fault.CREDENTIALS,
    text="The provider does not accept a fresh authorization",
)
BUSY = Verdict(
    status=DeliveryStatus.THROTTLED, fault=Fault.PROVIDER, text="Too many requests", pause=60.0
)
FAILING = Verdict(
    status=DeliveryStatus.TEMPORARY_FAILURE,
    fault=Fault.PROVIDER,
    text="The provider is not available",
)
UNKNOWN = Verdict(
    status=DeliveryStatus.UNKNOWN_FAILURE,
    fault=Fault.PROVIDER,
    text="The provider's answer has no known meaning",
)


def refused(
    verdict: Verdict,
    delivery: Delivery,
    *,
    code: int,
    error: str,
    response: Mapping[str, object],
    provider_code: int | str | None = None,
    retry_after: float | None = None,
) -> Outcome:
    """The outcome of a refusal, with the provider's words in the StatusMessage.

    `code` is the HTTP status and `provider_code` what the provider calls its code if that is
    another; `response` is what the provider's body said, without what it may repeat of the message.
    """
    written = json.dumps(response, separators=(",", ":"), ensure_ascii=False)
    text = answers.push_refusal(
        delivery.channel,
        text=verdict.text,
        provider_code=code if provider_code is None else provider_code,
        error=_line(_without(delivery.address, error)),
        response=_without(delivery.address, written),
    )
    wish = verdict.pause if retry_after is None else retry_after
    return Outcome(
        status=verdict.status,
        status_code=verdict.code or max(code, 400),  # a refusal may come with 200
        status_message=text,
        retry_after=wish if verdict.fault is Fault.PROVIDER else None,
        fault=verdict.fault,
        dead_address=verdict.dead,
    )


def unreadable(name: str) -> Outcome:
    """The provider said that it accepted something, but not what."""
    return Outcome(
        status=DeliveryStatus.UNKNOWN_FAILURE,
        status_code=502,
        status_message=f"{name} answered what is not its API's",
        fault=Fault.PROVIDER,
    )


def expired() -> Outcome:
    """The message's time to live ran out before it could be handed over."""
    return Outcome(
        status=DeliveryStatus.TIMEOUT,
        status_code=408,
        status_message="The time to live ran out before the message could be sent",
        fault=Fault.MESSAGE,
    )


def remaining(time_to_live: _Seconds, age: float) -> _Seconds | None:
    """What is left of a time to live, in seconds, or None if it ran out.

    0 stays 0: it means now or never, and it is for the provider to say never. Only whole seconds
    of age count, so that a first attempt carries what the caller asked for.
    """
    if time_to_live == 0:
        return time_to_live
    return None if age >= time_to_live else time_to_live - math.floor(age)


def _without(address: str, text: str) -> str:
    """The text without the address whole or, of Baidu's two ids, in part."""
    for hidden in sorted({address, *address.split(":")}, key=len, reverse=True):
        if len(hidden) > 3:  # shorter ones are no secret, and in every word
            text = text.replace(hidden, "***")
    return text


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:_EXCERPT].strip()
