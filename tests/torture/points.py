"""The points of the delivery protocol at which a process of a real deployment is lost, by name: who
it is, with whom it speaks, at which word, and what there is by then.

A statement to PostgreSQL outside a transaction is one: asked, it is not done; answered, it is
committed, and whoever asked does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.torture.speech import CONNECT
from tests.torture.tap import Moment, Word
from tests.torture.tapped import API, CALLERS, POSTGRESQL, REDIS, SWEEP, WORKER

ASKED, HALF_ASKED = Moment.ASKED, Moment.HALF_ASKED
ANSWERED, HALF_ANSWERED = Moment.ANSWERED, Moment.HALF_ANSWERED

PROVIDER = "provider"
"""The peer of a delivery that is its channel's."""

_QUEUE = {"EMAIL": "sendpoint.email", "SMS": "sendpoint.sms"}
MESSAGE = {"EMAIL": "^content$", "SMS": r"^POST .*/Messages\.json "}
"""What carries the message to the provider."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point: who dies there, in a talk with whom, at which word."""

    name: str
    process: str
    peer: str
    moment: Moment
    words: str
    rows: int = 0
    """Of three recipients, how many are stored by then."""
    state: str = ""
    """What the row is then."""
    sent: int = 0
    """How often the provider has the message then."""
    fresh: bool = False
    """Whether it takes a process that remembers nothing."""

    def word(self, channel: str = "EMAIL") -> Word:
        """What to wait for, for a message on this channel."""
        queue = _QUEUE[channel]
        words = self.words.replace("{queue}", queue).replace("{content}", MESSAGE[channel])
        # Who takes a ring may be answered one of its canary's, too, from another queue.
        ring = f"\r\n{queue}\r\n".encode() if words == _POP else b""
        return Word(self.moment, words, ring)


def _intake(name: str, peer: str, moment: Moment, words: str, rows: int, **more: bool) -> Point:
    return Point(f"intake: {name}", API, peer, moment, words, rows, **more)


_KEY = "FROM access_key"
_TURN = "^EVALSHA .*sendpoint:limit:"
_ROOM = r"^SELECT count\(\*\)"
_STORE = "^WITH .*INSERT INTO idempotency.*INSERT INTO message_request.*INSERT INTO message_result"
_SETTLED = "^SELECT message_result.request_id.*GROUP BY"
_RESULTS = "^SELECT message_result.id, message_result.user_id"

INTAKE = (
    _intake("half of the request read", CALLERS, HALF_ASKED, "^POST", 0),
    _intake("before its key is looked up", POSTGRESQL, ASKED, _KEY, 0, fresh=True),
    _intake("its key found, the answer lost", POSTGRESQL, ANSWERED, _KEY, 0, fresh=True),
    _intake("before it takes its turn", REDIS, ASKED, _TURN, 0),
    _intake("its turn taken, the answer lost", REDIS, ANSWERED, _TURN, 0),
    _intake("before what waits is counted", POSTGRESQL, ASKED, _ROOM, 0, fresh=True),
    _intake("before the request is stored", POSTGRESQL, ASKED, _STORE, 0),
    _intake("half of the request's statement read", POSTGRESQL, HALF_ASKED, _STORE, 0),
    _intake("half of the answer to it read", POSTGRESQL, HALF_ANSWERED, _STORE, 3),
    _intake("the request stored, the answer lost", POSTGRESQL, ANSWERED, _STORE, 3),
    _intake("before LPUSH", REDIS, ASKED, "^LPUSH sendpoint.email", 3),
    _intake("half of LPUSH read", REDIS, HALF_ASKED, "^LPUSH sendpoint.email", 3),
    _intake("rung on one of two queues", REDIS, ASKED, "^LPUSH sendpoint.sms", 3),
    _intake("rung, the answer lost", REDIS, ANSWERED, "^LPUSH sendpoint.sms", 3),
    _intake("before it looks whether all is settled", POSTGRESQL, ASKED, _SETTLED, 3),
    _intake("before it reads what became of it", POSTGRESQL, ASKED, _RESULTS, 3),
    _intake("before the answer", CALLERS, ANSWERED, "^POST", 3),
    _intake("half of the answer sent", CALLERS, HALF_ANSWERED, "^POST", 3),
)
"""Where the API dies between a caller's first byte and its own last."""


def _delivery(
    name: str, peer: str, moment: Moment, words: str, state: str, sent: int = 0, **more: bool
) -> Point:
    return Point(f"delivery: {name}", WORKER, peer, moment, words, 0, state, sent, **more)


_POP = "^BRPOP"
_CONTENT = "{content}"
_CLAIM = r"^WITH locked.*lease_token=\(message_result.lease_token \+"
_READ = "^SELECT message_request.request_id, message_request.body"
_CHANNELS = "^SELECT channel.application_id"
_RECORD = "^WITH given.*uncounted.*UPDATE message_result"
_HISTORY = "^INSERT INTO message_attempt"
_RETRY = "^COMMIT of WITH given.*uncounted"

DELIVERY = (
    _delivery("the ring taken, and lost on its way", REDIS, ANSWERED, _POP, "QUEUED"),
    _delivery("half of the ring read", REDIS, HALF_ANSWERED, _POP, "QUEUED"),
    _delivery("the ring taken, before others are", REDIS, ASKED, "^RPOP {queue}", "QUEUED"),
    _delivery("before the claim", POSTGRESQL, ASKED, _CLAIM, "QUEUED"),
    _delivery("half of the claim read", POSTGRESQL, HALF_ASKED, _CLAIM, "QUEUED"),
    _delivery("claimed, the answer lost", POSTGRESQL, ANSWERED, _CLAIM, "SENDING"),
    _delivery("half of the claim's answer read", POSTGRESQL, HALF_ANSWERED, _CLAIM, "SENDING"),
    _delivery("claimed, before the request is read", POSTGRESQL, ASKED, _READ, "SENDING"),
    _delivery("the request read, the answer lost", POSTGRESQL, ANSWERED, _READ, "SENDING"),
    _delivery("before the channels are read", POSTGRESQL, ASKED, _CHANNELS, "SENDING", fresh=True),
    _delivery("rendered, before it takes its turn", REDIS, ASKED, _TURN, "SENDING"),
    _delivery("its turn taken, the answer lost", REDIS, ANSWERED, _TURN, "SENDING"),
    _delivery("before it connects", PROVIDER, ASKED, CONNECT, "SENDING", fresh=True),
    _delivery("before the send", PROVIDER, ASKED, _CONTENT, "SENDING"),
    _delivery("half of the message read", PROVIDER, HALF_ASKED, _CONTENT, "SENDING"),
    _delivery("sent, the provider's answer lost", PROVIDER, ANSWERED, _CONTENT, "SENDING", 1),
    _delivery(
        "half of the provider's answer read", PROVIDER, HALF_ANSWERED, _CONTENT, "SENDING", 1
    ),
    _delivery("answered, before the record", POSTGRESQL, ASKED, _RECORD, "SENDING", 1),
    _delivery("half of the record read", POSTGRESQL, HALF_ASKED, _RECORD, "SENDING", 1),
    _delivery("recorded, the answer lost", POSTGRESQL, ANSWERED, _RECORD, "DONE", 1),
    _delivery("half of the record's answer read", POSTGRESQL, HALF_ANSWERED, _RECORD, "DONE", 1),
)
"""Where the worker dies between a ring and its acknowledgement, which is in its memory alone."""

FAILURE = (
    _delivery("before a failure is recorded", POSTGRESQL, ASKED, _RECORD, "SENDING"),
    _delivery("a failure recorded, the answer lost", POSTGRESQL, ANSWERED, _RECORD, "SENDING"),
    _delivery("before the attempt is kept", POSTGRESQL, ASKED, _HISTORY, "SENDING"),
    _delivery("the attempt kept, the answer lost", POSTGRESQL, ANSWERED, _HISTORY, "SENDING"),
    _delivery("before COMMIT of a failure", POSTGRESQL, ASKED, _RETRY, "SENDING"),
    _delivery("a failure committed, the answer lost", POSTGRESQL, ANSWERED, _RETRY, "QUEUED"),
)
"""The same where the provider has refused it for now: the record is a transaction."""


def _sweep(
    name: str, peer: str, moment: Moment, words: str, state: str = "QUEUED", by: str = WORKER
) -> Point:
    return Point(f"sweep: {name}", by, peer, moment, words, state=state)


_RESCUE = "^WITH locked.*message_result.state = 'SENDING' AND message_result.lease_until <="
_RESCUED = f"^COMMIT of {_RESCUE[1:]}"
_EXPIRE = "^WITH locked.*message_result.expires_at <="
_EXPIRED = f"^COMMIT of {_EXPIRE[1:]}"

RESCUED = "rescued"
"""What a row is that was taken back: that depends on its channel."""

RESCUE = (
    _sweep("before it takes back what is lost", POSTGRESQL, ASKED, _RESCUE, "SENDING"),
    _sweep("what is lost taken back, the answer lost", POSTGRESQL, ANSWERED, _RESCUE, "SENDING"),
    _sweep("before the lost attempt is kept", POSTGRESQL, ASKED, _HISTORY, "SENDING"),
    _sweep("the lost attempt kept, the answer lost", POSTGRESQL, ANSWERED, _HISTORY, "SENDING"),
    _sweep("before COMMIT of a rescue", POSTGRESQL, ASKED, _RESCUED, "SENDING"),
    _sweep("a rescue committed, the answer lost", POSTGRESQL, ANSWERED, _RESCUED, RESCUED),
)
"""Where a sweep dies that finds a message of a worker that is gone."""

EXPIRY = (
    _sweep("before it closes what is late", POSTGRESQL, ASKED, _EXPIRE),
    _sweep("what is late closed, the answer lost", POSTGRESQL, ANSWERED, _EXPIRE),
    _sweep("before COMMIT of an expiry", POSTGRESQL, ASKED, _EXPIRED),
    _sweep("an expiry committed, the answer lost", POSTGRESQL, ANSWERED, _EXPIRED, "DONE"),
)
"""Where it dies that finds a message past its deadline."""

_DUE = "^WITH locked.*UPDATE message_result SET ring_at=.*set_config"

FEED = (
    _sweep("before it looks for what waits", POSTGRESQL, ASKED, "^WITH RECURSIVE"),
    _sweep("what waits found, the answer lost", POSTGRESQL, ANSWERED, "^WITH RECURSIVE"),
    _sweep("before what is due is taken", POSTGRESQL, ASKED, _DUE),
    _sweep("what is due taken, the answer lost", POSTGRESQL, ANSWERED, _DUE),
    _sweep("before LPUSH", REDIS, ASKED, "^LPUSH sendpoint.sms"),
    _sweep("half of LPUSH read", REDIS, HALF_ASKED, "^LPUSH sendpoint.sms"),
    _sweep("rung on one of two queues", REDIS, ASKED, "^LPUSH sendpoint.email", by=SWEEP),
    _sweep("rung, the answer lost", REDIS, ANSWERED, "^LPUSH sendpoint.email", by=SWEEP),
)
"""Where it dies that rings again for two messages, on two queues, whose rings were lost; once it
has rung, one that takes no rings itself."""
