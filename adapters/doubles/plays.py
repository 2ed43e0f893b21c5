"""What each double answers to a magic recipient (`adapters.magic`), in its provider's own words.

A provider that has no such answer takes the message: nobody but Twilio knows of an OPT_OUT, for
one. Words that end well after so many failures begin again with the next message.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapters import magic
from adapters.contract import ChannelType
from adapters.doubles import adm, apns, baidu, fcm, stage, twilio

_FAILING = {"throttled": 1, "temporary-failure-once": 1, "temporary-failure-twice": 2}

Answer = TypeVar("Answer", stage.Answer, apns.Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that a double has read, and what came of it: a status, `hung up` or `silent`."""

    channel: str
    address: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends(Generic[Answer]):
    """A provider's answers to a recipient who is refused, has gone, asks for too much, or meets a
    failure, and what else it has a word for."""

    permanent: Answer
    dead: Answer
    busy: Answer
    failing: Answer
    accepted: Answer
    more: Mapping[str, Answer] = dataclasses.field(default_factory=dict)

    def of(self, word: str) -> Answer:
        by_word = {
            "permanent-failure": self.permanent,
            "dead-token": self.dead,
            "throttled": self.busy,
            "throttled-always": self.busy,
            "temporary-failure-once": self.failing,
            "temporary-failure-twice": self.failing,
            "temporary-failure": self.failing,
            "unknown-failure": dataclasses.replace(self.accepted, raw=b""),
            "timeout": dataclasses.replace(self.accepted, after=asyncio.Event()),
            **self.more,
        }
        return by_word.get(word, self.accepted)


class Play(Generic[Answer]):
    """The answer to each request of a channel, by its address; `told` hears what came of it."""

    def __init__(
        self, channel: ChannelType, ends: Ends[Answer], told: Callable[[Received], None]
    ) -> None:
        self._channel = channel
        self._ends: Ends[Answer] = ends
        self._told = told
        self._failed: dict[str, int] = {}

    def __call__(self, address: str) -> Answer:
        def tell(said: Answer) -> None:
            outcome = "hung up" if said.raw is not None else str(said.status)
            self._told(Received(channel=self._channel, address=address, outcome=outcome))

        answer = self._answer(address)
        if answer.after is not None:  # or it would never be told
            self._told(Received(channel=self._channel, address=address, outcome="silent"))
        return dataclasses.replace(answer, told=tell)

    def _answer(self, address: str) -> Answer:
        word = magic.word(self._channel, address)
        if word in _FAILING:
            failed = self._failed.pop(address, 0)
            if failed == _FAILING[word]:
                return self._ends.accepted
            self._failed[address] = failed + 1
        return self._ends.of(word)


_TAKEN = stage.Answer()

APNS = Ends(
    permanent=apns.Answer(status=400, reason="BadCollapseId"),
    dead=apns.Answer(status=410, reason="Unregistered", timestamp=4_102_444_800_000),
    busy=apns.Answer(status=429, reason="TooManyRequests", headers={"retry-after": "1"}),
    failing=apns.Answer(status=503, reason="ServiceUnavailable"),
    accepted=apns.Answer(),
)
FCM = Ends(
    permanent=fcm.error(400, "INVALID_ARGUMENT", "Invalid data", code="INVALID_ARGUMENT"),
    dead=fcm.error(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED"),
    busy=fcm.error(
        429, "RESOURCE_EXHAUSTED", "Quota exceeded", code="QUOTA_EXCEEDED", retry_after="1"
    ),
    failing=fcm.error(503, "UNAVAILABLE", "The service is unavailable", code="UNAVAILABLE"),
    accepted=_TAKEN,
)
ADM = Ends(
    permanent=adm.refused(400, "InvalidData"),
    dead=adm.refused(400, "Unregistered"),
    busy=adm.refused(429, "MaxRateExceeded", retry_after="1"),
    failing=adm.refused(503, "", retry_after="1"),
    accepted=_TAKEN,
)
BAIDU = Ends(
    permanent=baidu.refused(400, 30602, "Request Params Not Valid"),
    dead=baidu.refused(400, 30608, "Bind Relation Not Found"),
    busy=baidu.refused(400, 30699, "Requests Are Too Frequent", retry_after="1"),
    failing=baidu.refused(500, 30600, "Internal Server Error"),
    more={"duplicate": baidu.refused(400, 30610, "Duplicate Operation")},
    accepted=baidu.accepted("4711"),
)
_TWILIO_BUSY = twilio.refusal(20429, "Too Many Requests", status=429, headers={"Retry-After": "1"})
_TWILIO_FAILING = twilio.refusal(20503, "Service unavailable", status=503)
SMS = Ends(
    permanent=twilio.refusal(21612, "The 'To' number is not reachable"),
    dead=twilio.refusal(21211, "The 'To' number is not a valid phone number."),
    busy=_TWILIO_BUSY,
    failing=_TWILIO_FAILING,
    more={"opt-out": twilio.refusal(21610, "Attempt to send to unsubscribed recipient")},
    accepted=_TAKEN,
)
VOICE = Ends(
    permanent=twilio.refusal(21214, "'To' phone number cannot be reached"),
    dead=twilio.refusal(21217, "Phone number does not appear to be valid"),
    busy=_TWILIO_BUSY,
    failing=_TWILIO_FAILING,
    accepted=_TAKEN,
)
EMAIL = Ends(
    permanent=stage.Answer(status=550, body="5.4.1 Recipient address rejected: access denied"),
    dead=stage.Answer(status=550, body="5.1.1 No such user here"),
    busy=stage.Answer(status=450, body="4.7.28 Too many messages: slow down"),
    failing=stage.Answer(status=451, body="4.3.0 Mail server temporarily failing"),
    accepted=_TAKEN,
)
CUSTOM = Ends(
    permanent=stage.Answer(status=422, body="Not an event of ours"),
    dead=stage.Answer(status=404, body="Not known"),
    busy=stage.Answer(status=429, headers={"Retry-After": "1"}),
    failing=stage.Answer(status=503),
    accepted=_TAKEN,
)
