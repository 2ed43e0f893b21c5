"""The callers: real AWS SDK clients that send while things break, and note what they are told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.torture.ledgers import Answer, Call
from tests.torture.world import CHANNELS

MARK = "confidential"
"""In each body, so that `tests.torture.leaks` knows it."""

_WORDS = (
    *("temporary-failure-once",) * 4,
    *("throttled",) * 1,
    *("permanent-failure",) * 2,
    "dead-token",
    "opt-out",
)
"""What a few recipients have in store, see `adapters.magic`; all others have the weather's."""

_WORD_ODDS = 0.04
_PER_CALL = 100
_LAST_WORD = 60.0  # seconds after the load for callers that try until they are answered


@dataclass(frozen=True, slots=True)
class Plan:
    """A request to come: `manner` is how its caller goes about it.

    `sdk` calls once and leaves retries to the SDK; `keyed` has an Idempotency-Key and goes on until
    it is answered; `again` does, and then sends it once more; `twins` are two at once with one key;
    `bad` is a request that must be refused.
    """

    name: str
    at: float
    manner: str
    addresses: Mapping[str, str]


_MANNERS = {"sdk": 10, "keyed": 5, "again": 2, "twins": 2, "bad": 1}


def address(channel: str, number: int, word: str) -> str:
    """An address of a run's own; a phone number cannot spell a word, so it has none."""
    spelt = f"torture-{number}" + (f"-{word}-" if word else "")
    return {
        "EMAIL": f"{spelt}@torture.example.com",
        "GCM": f"tok-{spelt}",
        "APNS": spelt.encode().hex(),
        "SMS": f"+15{number + 557_000_000}",
        "CUSTOM": f"custom-{spelt}",
    }[channel]


def plans(seed: int, *, recipients: int, seconds: float) -> list[Plan]:
    """The requests of a run, the same for the same seed, in the order in which they are made."""
    rng = random.Random(f"load {seed}")
    found = []
    for first in range(0, recipients, _PER_CALL):
        manner = rng.choices(list(_MANNERS), list(_MANNERS.values()))[0]
        addresses = {}
        offset = seed % 100 * 100_000  # what a former run left behind is not taken for its own
        for number in range(offset + first, offset + min(first + _PER_CALL, recipients)):
            channel = rng.choice(CHANNELS)
            word = rng.choice(_WORDS) if rng.random() < _WORD_ODDS else ""
            addresses[address(channel, number, word)] = channel
        found.append(Plan(f"{seed}-{first}", rng.uniform(0.0, seconds), manner, addresses))
    return sorted(found, key=lambda one: one.at)


_keys = threading.local()


def _client(url: str, key: tuple[str, str]) -> Any:
    """An AWS SDK client of an API, for many threads."""
    made = boto3.client(
        "pinpoint",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=Config(
            connect_timeout=1,
            read_timeout=6,
            max_pool_connections=20,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )
    made.meta.events.register("before-sign.pinpoint", _add_key)
    return made


def _add_key(request: Any, **_: object) -> None:
    if _keys.key is not None:
        request.headers["Idempotency-Key"] = _keys.key


class Load:
    """The callers of a run. `calls` are those that have come to an end."""

    def __init__(
        self,
        urls: Sequence[str],
        applications: Sequence[str],
        callers: int = 6,
        key: tuple[str, str] = ("any", "any"),
    ) -> None:
        # Of all callers together: to make one takes longer than many requests do. Not of several
        # runs, since a client that was answered too seldom retries no more.
        self._clients = [_client(url, key) for url in urls]
        self._applications = applications
        self._executor = ThreadPoolExecutor(callers, thread_name_prefix="caller")
        self.calls: list[Call] = []
        self.give_up = float("inf")

    def run(self, planned: Sequence[Plan]) -> None:
        """Make every call at its time, and return when all have ended."""
        started = time.monotonic()
        self.give_up = started + max((one.at for one in planned), default=0.0) + _LAST_WORD
        ended = []
        for one in planned:
            pause = started + one.at - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            ended.append(self._executor.submit(self._call, one))
        for one in ended:
            self.calls.append(one.result())

    def close(self) -> None:
        self._executor.shutdown()

    def _call(self, plan: Plan) -> Call:
        application = self._applications[hash(plan.at) % len(self._applications)]
        request = _request(plan)
        if plan.manner == "twins":
            with ThreadPoolExecutor(2) as both:
                answers = list(
                    both.map(lambda _: self._until_answered(plan, application, request), range(2))
                )
        elif plan.manner in {"keyed", "again"}:
            answers = [self._until_answered(plan, application, request)]
            if plan.manner == "again":
                answers.append(self._until_answered(plan, application, request))
        else:
            answers = [self._once(application, request, None)]
        return _noted(plan, application, answers)

    def _until_answered(self, plan: Plan, application: str, request: Mapping[str, Any]) -> Any:
        while True:
            answer = self._once(application, request, plan.name)
            if not isinstance(answer, Exception) or time.monotonic() > self.give_up:
                return answer
            time.sleep(0.3)

    def _once(self, application: str, request: Mapping[str, Any], key: str | None) -> Any:
        """The answer, the status of a refusal, or the exception of one that never came."""
        client = self._clients[threading.get_ident() % len(self._clients)]
        _keys.key = key
        try:
            said = client.send_messages(ApplicationId=application, MessageRequest=request)
        except ClientError as refused:
            status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
            return status if 400 <= status < 500 else refused
        except BotoCoreError as trouble:
            return trouble
        answer = said["MessageResponse"]
        # The SDK takes what is left of an answer whose head was cut off for one with nothing in it.
        return answer if "RequestId" in answer else EOFError("the answer was cut off")


class Caller:
    """Callers who go about it in a thread of their own, for who has something else to do."""

    def __init__(self, load: Load, planned: Sequence[Plan]) -> None:
        self.load = load
        self._thread = threading.Thread(target=load.run, args=(planned,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until all of them have ended."""
        self._thread.join(max(0.0, self.load.give_up - time.monotonic()) + _LAST_WORD)
        assert not self._thread.is_alive(), "somebody was never answered"
        self.load.close()


def _request(plan: Plan) -> dict[str, Any]:
    body = f"{MARK} {plan.name}"
    html = {"Data": f"<p>{body}</p>"}
    email = {"SimpleEmail": {"Subject": {"Data": body}, "HtmlPart": html, "TextPart": html}}
    addresses = {one: {"ChannelType": channel} for one, channel in plan.addresses.items()}
    if plan.manner == "bad":
        addresses["nobody"] = {"ChannelType": "PIGEON"}
    return {
        "Addresses": addresses,
        "MessageConfiguration": {
            "DefaultMessage": {"Body": body},
            "DefaultPushNotificationMessage": {"Title": "Hi", "Body": body},
            "SMSMessage": {"Body": body, "MessageType": "TRANSACTIONAL"},
            "EmailMessage": email,
        },
    }


def _noted(plan: Plan, application: str, answers: Sequence[Any]) -> Call:
    accepted = [one for one in answers if isinstance(one, Mapping)]
    refused = [one for one in answers if isinstance(one, int)]
    told = {}
    for answer in accepted:
        for where, result in (answer.get("Result") or {}).items():
            told[where] = (
                result["DeliveryStatus"],
                result["StatusCode"],
                result.get("MessageId"),
            )
    answer = Answer.ACKNOWLEDGED if accepted else Answer.REFUSED if refused else Answer.UNKNOWN
    return Call(
        name=plan.name,
        application_id=application,
        addresses=tuple(plan.addresses),
        answer=answer,
        status=refused[0] if refused else None,
        request_ids=tuple(one["RequestId"] for one in accepted),
        told=told,
    )
