"""The sandbox: sends nothing, writes what would be sent to the dev inbox, and plays every outcome.

Put one of these words anywhere in an address of any channel (`-` and `_` are the same, case does
not matter) and the message comes to that end. For phone numbers there is a number for each; they
are fictional, so that none can ever ring at anybody's. Every other address is SUCCESSFUL.

| word in the address       | number         | what comes of it |
| ------------------------- | -------------- | ---------------- |
|                           | `+15550100200` | SUCCESSFUL, like any other address |
| `updated-token`           | `+15550100301` | SUCCESSFUL, and the address is to be replaced |
| `permanent-failure`       | `+15550100400` | PERMANENT_FAILURE 400 |
| `duplicate`               | `+15550100409` | DUPLICATE 400 |
| `dead-token`              | `+15550100410` | PERMANENT_FAILURE 410, the address is dead |
| `throttled`               | `+15550100429` | THROTTLED 429 once, then SUCCESSFUL |
| `throttled-always`        | `+15550100430` | THROTTLED 429 every time |
| `opt-out`                 | `+15550100451` | OPT_OUT 400 |
| `unknown-failure`         | `+15550100500` | UNKNOWN_FAILURE 504, the connection broke |
| `temporary-failure-once`  | `+15550100501` | TEMPORARY_FAILURE 503 once, then SUCCESSFUL |
| `temporary-failure-twice` | `+15550100502` | TEMPORARY_FAILURE 503 twice, then SUCCESSFUL |
| `temporary-failure`       | `+15550100503` | TEMPORARY_FAILURE 503 at every attempt |
| `timeout`                 | `+15550100504` | TIMEOUT 504, no answer came in time |

The table says what one attempt comes to; retries, and what follows where no answer came, are the
worker's policy. The numbers of AWS's SMS simulator (`AWS_SIMULATOR`) work as well. A magic
recipient is its own fault: it never opens the breaker of the channel that others use too.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from adapters import answers
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

AWS_SIMULATOR = {  # country: (a number that succeeds, a number that fails)
    "AT": ("+43676800442031", "+43676800442032"),
    "AU": ("+61455944038", "+61455944039"),
    "BE": ("+32460213922", "+32460213923"),
    "CH": ("+41798075872", "+41798075874"),
    "CL": ("+56229140630", "+56229140631"),
    "CZ": ("+420790542286", "+420790542287"),
    "DK": ("+4525919410", "+4525919215"),
    "EE": ("+37282720792", "+37282720793"),
    "ES": ("+34683783440", "+34683783442"),
    "FI": ("+3584573979110", "+3584573979111"),
    "FR": ("+33755512501", "+33755512502"),
    "GB": ("+447860019066", "+447860019067"),
    "HK": ("+85257048426", "+85257048854"),
    "HU": ("+36707178770", "+36707178772"),
    "IT": ("+394390009172", "+394390009174"),
    "JE": ("+447937404990", "+447937404992"),
    "LU": ("+352691385880", "+352691385882"),
    "NL": ("+3197008100148", "+3197008100150"),
    "NO": ("+4759449384", "+4759449387"),
    "PL": ("+48732141440", "+48732141442"),
    "PT": ("+351927946948", "+351927946950"),
    "RO": ("+40783900330", "+40783900332"),
    "SE": ("+46790645100", "+46790645102"),
    "TW": ("+886903444630", "+886903444632"),
    "US": ("+14254147755", "+14254147167"),
}


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
_WORDS = (*_ENDS, *_FAILING_ATTEMPTS, "throttled", "dead-token", "updated-token")
# The longest word first: `throttled-always` also holds `throttled`.
_MAGIC = re.compile(
    "(?<![a-z0-9])(?:"
    + "|".join(sorted(_WORDS, key=len, reverse=True)).replace("-", "[-_]")
    + ")(?![a-z0-9])",
    re.IGNORECASE,
)
_NUMBER_THAT_SUCCEEDS = "+15550100200"
_NUMBERS = {
    "+15550100301": "updated-token",
    "+15550100400": "permanent-failure",
    "+15550100409": "duplicate",
    "+15550100410": "dead-token",
    "+15550100429": "throttled",
    "+15550100430": "throttled-always",
    "+15550100451": "opt-out",
    "+15550100500": "unknown-failure",
    "+15550100501": "temporary-failure-once",
    "+15550100502": "temporary-failure-twice",
    "+15550100503": "temporary-failure",
    "+15550100504": "timeout",
    **{failing: "permanent-failure" for _, failing in AWS_SIMULATOR.values()},
}

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
        word = _magic_word(delivery)
        if word == "throttled" and self._first_try(delivery.id):
            return _THROTTLED
        if word == "dead-token":
            return _dead(delivery.channel)
        if word == "updated-token":
            return dataclasses.replace(_accepted(delivery), updated_token=_renewed(delivery))
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


def _magic_word(delivery: Delivery) -> str:
    """The word that says how it ends; empty for most addresses."""
    if delivery.channel in {ChannelType.SMS, ChannelType.VOICE}:
        number = "+" + re.sub(r"\D", "", delivery.address)
        if number in _NUMBERS:
            return _NUMBERS[number]
    found = _MAGIC.search(delivery.address)
    return found[0].lower().replace("_", "-") if found else ""


def _renewed(delivery: Delivery) -> str:
    """An address to use from now on, which is not magic itself."""
    renewed, words = _MAGIC.subn("current-token", delivery.address, count=1)
    return renewed if words else _NUMBER_THAT_SUCCEEDS


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
