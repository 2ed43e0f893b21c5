"""The sandbox: sends nothing, writes what would be sent to the dev inbox, and plays every outcome.

Which one is in the address: `adapters.magic` lists the words and numbers. A magic recipient is its
own fault, even where a provider's connection is what is played: it never opens the breaker of the
channel that others use too.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from adapters import answers, magic
from adapters import inbox as dev_inbox
from adapters.contract import (
    ChannelType,
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    permanent,
    successful,
    temporary,
)


def _end(status: DeliveryStatus, code: int, text: str, **more: Any) -> Outcome:
    return Outcome(
        status=status, status_code=code, status_message=text, fault=Fault.RECIPIENT, **more
    )


_TEMPORARY = _end(DeliveryStatus.TEMPORARY_FAILURE, 503, "Sandbox: temporary failure")
# Pinpoint: an SMS throttled by the carrier's side says exactly this.
_THROTTLED = _end(DeliveryStatus.THROTTLED, 429, "Too many requests.", retry_after=1.0)
_ENDS = {
    "permanent-failure": _end(DeliveryStatus.PERMANENT_FAILURE, 400, "Sandbox: permanent failure"),
    "duplicate": _end(DeliveryStatus.DUPLICATE, 400, "Sandbox: duplicate"),
    "throttled-always": _THROTTLED,
    "opt-out": _end(DeliveryStatus.OPT_OUT, 400, "Sandbox: the recipient opted out"),
    "unknown-failure": _end(
        DeliveryStatus.UNKNOWN_FAILURE, 504, "Sandbox: connection lost", indeterminate=True
    ),
    "temporary-failure": _TEMPORARY,
    "timeout": _end(DeliveryStatus.TIMEOUT, 504, "Sandbox: no answer in time", indeterminate=True),
}
_FAILING_ATTEMPTS = {"temporary-failure-once": 1, "temporary-failure-twice": 2}

# What the provider said of a dead token: its status, its word, its body.
_APNS_SAID = ("400", "BadDeviceToken", '{"reason":"BadDeviceToken"}')
_PROVIDER_SAID = {
    ChannelType.APNS: _APNS_SAID,
    ChannelType.APNS_SANDBOX: _APNS_SAID,
    ChannelType.APNS_VOIP: _APNS_SAID,
    ChannelType.APNS_VOIP_SANDBOX: _APNS_SAID,
    ChannelType.GCM: ("404", "UNREGISTERED", '{"status":"NOT_FOUND"}'),
    ChannelType.ADM: ("400", "Unregistered", '{"reason":"Unregistered"}'),
    ChannelType.BAIDU: ("400", "Bind Relation Not Found", '{"error_code":30608}'),
}

_KEPT = 1_000  # messages in memory
_REMEMBERED = 100_000  # throttled ids: fewer than are waiting would throttle them for ever


class Sandbox:
    """An adapter for every channel that hands nothing to anybody.

    `inbox` is the dev inbox: a file of JSON lines, one a message and attempt, readable by its owner
    only, moved to `<inbox>.1` when it has grown past `limit_bytes`. Several processes may share it.
    Without a file the latest messages are in `messages`, as many as fit in `limit_bytes`.
    `clock` is the time in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        inbox: str | None = None,
        limit_bytes: int = 16_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.messages: deque[dict[str, Any]] = deque()
        self._sizes: deque[int] = deque()
        self._throttled: OrderedDict[str, None] = OrderedDict()
        self._inbox = inbox
        self._limit = limit_bytes
        self._clock = clock

    async def send(self, delivery: Delivery) -> Outcome:
        """Play the outcome the address asks for and write the message to the dev inbox.

        An inbox that cannot be written is a TEMPORARY_FAILURE: the message went nowhere.
        """
        outcome = self._play(delivery)
        entry = dev_inbox.entry(delivery, outcome, self._clock())
        line = dev_inbox.line(entry)
        if self._inbox is None:
            self._keep(entry, len(line))
            return outcome
        try:
            dev_inbox.append(self._inbox, line, self._limit)
        except OSError as error:
            return temporary(503, f"The dev inbox cannot be written: {error.strerror}")
        return outcome

    async def aclose(self) -> None:
        """There is nothing to close: the inbox is opened for each line."""

    def _play(self, delivery: Delivery) -> Outcome:
        word = magic.word(delivery.channel, delivery.address)
        if word == "throttled" and self._first_try(delivery.id):
            return _THROTTLED
        if word == "dead-token":
            return _dead(delivery.channel)
        if word == "updated-token":
            renewed = magic.renewed(delivery.channel, delivery.address)
            return dataclasses.replace(_accepted(delivery), updated_token=renewed)
        if delivery.attempt <= _FAILING_ATTEMPTS.get(word, 0):
            return _TEMPORARY
        return _ENDS.get(word) or _accepted(delivery)

    def _first_try(self, message_id: str) -> bool:
        """Whether it was not asked before: a throttled try is not counted as an attempt."""
        if message_id in self._throttled:
            return False
        self._throttled[message_id] = None
        if len(self._throttled) > _REMEMBERED:
            self._throttled.popitem(last=False)
        return True

    def _keep(self, entry: dict[str, Any], size: int) -> None:
        self.messages.append(entry)
        self._sizes.append(size)
        while sum(self._sizes) > self._limit or len(self._sizes) > _KEPT:
            self.messages.popleft()
            self._sizes.popleft()


def _accepted(delivery: Delivery) -> Outcome:
    """Pinpoint: SMS answers `MessageId: <40 of 0-9a-v>`, email SES's id, push an empty text."""
    digest = hashlib.blake2b(delivery.id.encode(), digest_size=25).digest()
    letters = base64.b32hexencode(digest).decode().lower()
    match delivery.channel:
        case ChannelType.SMS | ChannelType.VOICE:
            return successful(message_id=letters, text=f"MessageId: {letters}")
        case ChannelType.EMAIL:
            message_id = f"02000000{letters[:8]}-{delivery.id}-000000"
            return successful(message_id=message_id, text=message_id)
        case _:
            return successful()


def _dead(channel: ChannelType) -> Outcome:
    """Pinpoint: push answers 410 and a JSON text with the provider's own words in it."""
    text = "Sandbox: the address does not exist any more"
    if channel in _PROVIDER_SAID:
        code, error, response = _PROVIDER_SAID[channel]
        text = answers.push_refusal(
            channel,
            text="Unregistered or expired token",
            provider_code=code,
            error=error,
            response=response,
        )
    return permanent(410, text, fault=Fault.RECIPIENT, dead_address=True)
