"""Turns under limits, for all workers together.

Every limit has a count, which is a GCRA (a leaky bucket that remembers one time): never more than
`burst` turns at once, and never more than `burst` and one an interval after that, whoever asks.
A message is under any number of limits and gets a turn of all or of none.

What gets none is told when to come back. Told only when the next turn is free, all that wait would
come back together, again and again. So each limit also has a *line*: who is held gets the next free
place in it, a time of its own. A place is a promise to nobody, since the count alone decides, and
is forgotten when its time has passed; but it makes those that wait come one by one, so that most
are held once. There are lines for two lanes, and a message of the second does not go before those
in a line of the first; and two lines in each lane, so that whoever has waited for a place and finds
the turn taken gets another near by and not one behind everybody.

`Alone` counts in memory, `Shared` in Redis on its clock, in one script for a whole batch. `Limiter`
asks Redis, and while that is away counts alone, with a share of each rate.
"""

from __future__ import annotations

import importlib.resources
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import sentinels

SECOND = 1_000_000
"""All times in here are whole microseconds."""

_QUIET = 2.0  # seconds without asking Redis again after it did not answer
_PREFIX = "sendpoint:limit:"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Count:
    """What a limit counts under a name: `burst` at once, and one an `interval` after that."""

    name: str
    interval: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A message that wants a turn.

    `costs` are the counts it is under, with what it takes of each (no more than the burst). `lane`
    1 lets those of lane 0 go first. `waited` is one that was held before and comes back. `patience`
    is how long it can wait at all: beyond that it takes no place from others. `door` is how long
    before a turn it may be given out, to who then waits for it. Without `queues` it takes no place
    in a line and respects none: it asks for a turn now or for nothing. Times are at least 1.
    """

    costs: Sequence[tuple[Count, int]]
    lane: int = 0
    waited: bool = False
    patience: int = 86_400 * SECOND
    door: int = 0
    queues: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer: `taken`, to go in `wait` seconds, or to come back then. `held_by` is the name of
    the count that makes it wait."""

    taken: bool
    wait: float
    held_by: str


class Turns(Protocol):
    """Whoever gives out turns. Called from any thread."""

    def ask(self, asks: Sequence[Ask]) -> list[Turn]:
        """An answer for each, in order; those that come first are served first."""
        ...


def microseconds() -> int:
    """A time of this machine's that never goes back."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class _State:
    """What is kept of a count: `tat`, when it would be empty, the next place of each line, and when
    and for which interval that was written."""

    seen: int
    interval: int
    tat: int = 0
    first: list[int] = field(default_factory=lambda: [0, 0])
    again: list[int] = field(default_factory=lambda: [0, 0])

    def last(self) -> int:
        """When there is nothing left to remember."""
        return max(self.tat, *self.first, *self.again)


class Alone:
    """Turns for one process, in memory. `clock` is in microseconds."""

    def __init__(self, clock: Callable[[], int] = microseconds) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._tidy_at = 0
        self._lock = threading.Lock()

    def ask(self, asks: Sequence[Ask]) -> list[Turn]:
        with self._lock:
            now = self._clock()
            self._tidy(now)
            return [self._decide(one, now) for one in asks]

    def _decide(self, ask: Ask, now: int) -> Turn:
        start = place = now
        held_by, free = ask.costs[0][0], True
        for count, cost in ask.costs:
            state = self._state(count, now)
            ready = state.tat - (count.burst - cost) * count.interval
            line = 0
            if ask.queues:
                if ask.lane:
                    line = max(state.first[0], state.again[0])
                if not ask.waited:
                    line = max(line, state.first[ask.lane], state.again[ask.lane])
                free = free and line <= now
                line = max(line, state.again[ask.lane])
            start = max(start, ready)
            if max(ready, line) > place:
                place, held_by = max(ready, line), count
        if free and start <= now + ask.door:
            for count, cost in ask.costs:
                state = self._state(count, now)
                state.tat = max(state.tat, start) + cost * count.interval
                state.seen = now
            return Turn(taken=True, wait=(start - now) / SECOND, held_by=held_by.name)
        if not ask.queues:
            return Turn(taken=False, wait=(start - now) / SECOND, held_by=held_by.name)
        if place - now >= ask.patience:
            return Turn(taken=False, wait=ask.patience / SECOND, held_by=held_by.name)
        state = self._state(held_by, now)
        (state.again if ask.waited else state.first)[ask.lane] = place + held_by.interval
        state.seen = now
        return Turn(taken=False, wait=(place - now) / SECOND, held_by=held_by.name)

    def _state(self, count: Count, now: int) -> _State:
        state = self._states.get(count.name)
        if state is None:
            state = self._states[count.name] = _State(now, count.interval)
        if state.seen > now:  # the clock went back: the count goes with it
            back = state.seen - now
            state.tat -= back
            state.first = [one - back for one in state.first]
            state.again = [one - back for one in state.again]
            state.seen = now
        if state.interval != count.interval:  # another rate: the places were for the old one
            state.first, state.again = [0, 0], [0, 0]
            state.tat = min(state.tat, now + count.burst * count.interval)
            state.seen, state.interval = now, count.interval
        return state

    def _tidy(self, now: int) -> None:
        """Forget, once a minute, the counts that are as if nobody had asked."""
        if 0 <= self._tidy_at - now <= 60 * SECOND:
            return
        self._tidy_at = now + 60 * SECOND
        self._states = {name: state for name, state in self._states.items() if state.last() > now}


class Shared:
    """Turns for all processes that use one Redis, on its clock. Raises `redis.RedisError`.

    `clock` is for time that is moved by hand.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], int] | None = None) -> None:
        text = importlib.resources.files("worker").joinpath("throttle.lua").read_text("utf-8")
        self._client = client
        self._script = client.register_script(text)
        self._clock = clock

    def ask(self, asks: Sequence[Ask]) -> list[Turn]:
        counts = list({count.name: count for one in asks for count, _ in one.costs}.values())
        numbers = {count.name: number for number, count in enumerate(counts, 1)}
        given = {
            "counts": [(count.interval, count.burst) for count in counts],
            "asks": [
                (
                    one.lane,
                    int(one.waited),
                    int(one.queues),
                    one.patience,
                    one.door,
                    [(numbers[count.name], cost) for count, cost in one.costs],
                )
                for one in asks
            ],
        }
        now = "" if self._clock is None else self._clock()
        told: Sequence[int] = self._script(
            keys=[_PREFIX + count.name for count in counts],
            args=[msgspec.json.encode(given), now],
        )
        return [
            Turn(wait >= 0, abs(wait) / SECOND, counts[number - 1].name)
            for wait, number in zip(told[::2], told[1::2], strict=True)
        ]

    def close(self) -> None:
        """Close every connection."""
        sentinels.close(self._client)


class Limiter:
    """Turns from Redis; while it does not answer, from this process alone, each limit divided by
    the number of processes that share it. Never raises.

    `shares` is that number. A burst is divided too, but every process has one turn at least.
    """

    def __init__(
        self,
        shared: Turns | None = None,
        alone: Turns | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shares = 1
        self._shared = shared
        self._alone = alone or Alone()
        self._clock = clock
        self._quiet_until = 0.0
        self._away = False

    def ask(self, asks: Sequence[Ask]) -> list[Turn]:
        """An answer for each, in order. Within a batch, lane 0 goes first, and who waited."""
        order = sorted(range(len(asks)), key=lambda one: (asks[one].lane, not asks[one].waited))
        turns = dict(zip(order, self._ask([asks[one] for one in order]), strict=True))
        return [turns[one] for one in range(len(asks))]

    def _ask(self, asks: Sequence[Ask]) -> list[Turn]:
        if self._shared is not None and self._clock() >= self._quiet_until:
            try:
                turns = self._shared.ask(asks)
            except redis.RedisError as error:
                self._quiet_until = self._clock() + _QUIET
                if not self._away:
                    _log.warning(
                        "Redis does not count the limits (%s): until it does, this process keeps "
                        "to 1/%d of each",
                        type(error).__name__,
                        self.shares,
                    )
                self._away = True
            else:
                if self._away:
                    _log.warning("Redis counts the limits again")
                self._away = False
                return turns
        return self._alone.ask([_shared_out(one, self.shares) for one in asks])

    @property
    def is_shared(self) -> bool:
        """Whether all processes count together."""
        return self._shared is not None

    def probe(self) -> None:
        """Try whether Redis counts; it may answer and yet forbid scripts. `ConnectionError` if it
        does not answer, any other `redis.RedisError` says what is wrong."""
        if self._shared is None:
            return
        try:
            self._shared.ask([Ask(costs=[(Count("probe", 1, 1), 1)], queues=False)])
        except redis.ConnectionError as error:
            raise ConnectionError(*error.args) from error

    def close(self) -> None:
        """Close what was opened for it."""
        if isinstance(self._shared, Shared):
            self._shared.close()


def limiter(broker_url: str) -> Limiter:
    """A limiter over the broker's Redis, asked of Sentinel or not, or over nothing if the broker is
    something else. Nothing is connected yet."""
    client = _client(broker_url)
    return Limiter(None if client is None else Shared(client))


def _client(url: str) -> redis.Redis | None:
    options: dict[str, Any] = {
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "health_check_interval": 10,
        # A connection that was dropped while idle is worth one more try, and a Redis that hangs is
        # not. A turn taken twice is given to nobody, which errs on the safe side.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }
    match urlsplit(url).scheme:
        case "redis" | "rediss":
            return redis.Redis.from_url(url, **options)
        case sentinels.SCHEME:
            return sentinels.parse(url).client(**options)
    return None


def _shared_out(ask: Ask, shares: int) -> Ask:
    if shares <= 1:
        return ask
    costs = []
    for count, cost in ask.costs:
        burst = max(count.burst // shares, cost)
        costs.append((Count(count.name, count.interval * shares, burst), cost))
    return replace(ask, costs=costs)
