"""What a process holds while it runs, put together in one place."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec

from worker import (
    backlog,
    batch,
    breaker,
    channels,
    lifecycle,
    limits,
    places,
    plan,
    rates,
    render,
    retry,
    sinks,
    store,
    wire,
)
from worker.rings import Rings
from worker.settings import Settings
from worker.throttle import Ask, Limiter, Turn, limiter
from worker.watch import Watch

_log = logging.getLogger(__name__)
KEPT_SIZE = 64 * 1024 * 1024
"""Characters of the requests, as they are stored, that are kept for their other recipients."""

_KEPT = 1000  # requests at most
_FRESH = 3.0  # seconds for which an event stream that was read is not read again


@dataclass
class Runtime:
    """Everything that intake, dispatch and the edges share. The parts of it that only a worker
    uses (`claims`, `finishes`, `channels.open`) belong to the loop that first uses them."""

    settings: Settings
    db: store.Database
    rings: Rings
    throttle: Limiter = field(default_factory=Limiter)
    policy: retry.Policy = field(default_factory=retry.Policy)
    rng: random.Random = field(default_factory=random.SystemRandom)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draining: bool = False
    """The worker is stopping: nothing new is claimed, and its rings go to `unanswered`."""
    unanswered: deque[UUID] = field(default_factory=deque)
    """Rings that found no place here; the sweep of any worker is to ring again."""
    queues: Collection[str] = plan.QUEUES
    """The queues that this process delivers from."""
    at_the_door: int = 0
    """Messages that ask for their turn or wait for one that they have."""

    def __post_init__(self) -> None:
        # One thread for each kind of call: a slow claim must not keep results from being written.
        self.executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="sendpoint-db")
        # Its own: while Redis hangs, nothing else waits for it.
        self._counting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sendpoint-limits")
        self.channels = channels.Channels(self.db, self.settings)
        self.rates = rates.Rates(self.db)
        self.backlogs = backlog.Backlogs(
            functools.partial(store.backlog_of, self.db), self.executor.submit, self.clock
        )
        self.breakers = breaker.Breakers(self.clock)
        self.places = places.Places(self.settings.concurrency, self.clock)
        self.guard = lifecycle.Guard()
        self.claims = batch.Batch(self._claim, self.executor, gather=0.002)
        self.assignments = batch.Batch(self._assign, self.executor)
        # No recipient waits for it, so it may take the time that makes it cheap.
        self.finishes = batch.Batch(self._finish, self.executor, gather=0.01)
        self.requests = batch.Batch(self._requests, self.executor)
        self.channel_settings = batch.Batch(self._channel_settings, self.executor)
        self.codes = batch.Batch(self._codes, self.executor)
        self.sent_codes = batch.Batch(self._erase_codes, self.executor)
        self.limits = batch.Batch(self._limits, self.executor)
        self.turns = batch.Batch(self._turns, self._counting)
        self.watch = Watch()
        self.name = uuid4().hex
        self.sink = sinks.build(self.settings.events, self.settings.events_secret)
        self._streams = batch.Batch(self._read_streams, self.executor)
        self._stream_of: dict[str, tuple[float, store.EventStream | None]] = {}
        self._decoded: OrderedDict[UUID, tuple[int, render.Content]] = OrderedDict()
        self._decoded_size = 0

    def close(self) -> None:
        """Close what was opened here. The adapters are closed on their loop, by who runs it."""
        self.executor.shutdown(wait=True)
        self._counting.shutdown(wait=True)
        self.throttle.close()
        self.rings.close()
        self.db.close()

    def _claim(self, ids: Sequence[UUID]) -> Sequence[store.Claimed | None]:
        try:
            claimed = store.claim(self.db, set(ids), lease=self.settings.lease)
        except store.Unavailable:
            _log.warning("%d rings wait for the database", len(ids))
            raise
        return [claimed.pop(one, None) for one in ids]

    def _assign(self, assignments: Sequence[store.Assignment]) -> Sequence[bool]:
        return store.assign(self.db, assignments)

    def _finish(self, finishes: Sequence[store.Finish]) -> Sequence[bool]:
        try:
            return store.finish(self.db, finishes)
        except store.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - each is tried again alone
            # One result that cannot be written must not take the others with it.
            return [recorded for one in finishes for recorded in self._finish_alone(one)]

    def _finish_alone(self, finish: store.Finish) -> Sequence[bool]:
        try:
            return store.finish(self.db, [finish])
        except store.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - the others of its batch go on
            _log.exception("Message %s: its result cannot be recorded", finish.id)
            return [False]

    def _requests(self, ids: Sequence[UUID]) -> Sequence[render.Content | None]:
        """The requests, decoded once and kept for their other recipients; None for one that is not
        there or cannot be read, so that it is no other message's trouble."""
        missing = [one for one in dict.fromkeys(ids) if one not in self._decoded]
        if missing:
            for request_id, body in store.bodies(self.db, missing).items():
                try:
                    decoded = wire.decode(body.encode(), render.Content)
                except wire.BadRequest:  # whose text may quote it
                    _log.error("Request %s cannot be read", request_id)
                    continue
                self._decoded[request_id] = len(body), decoded
                self._decoded_size += len(body)
        found = [self.known(one) for one in ids]
        while self._decoded_size > KEPT_SIZE or len(self._decoded) > _KEPT:
            _, (size, _) = self._decoded.popitem(last=False)
            self._decoded_size -= size
        return found

    def _channel_settings(
        self, application_ids: Sequence[str]
    ) -> Sequence[Mapping[str, store.Channel] | ValueError]:
        """The applications' channels, read once for all that ask at a time; what is wrong with the
        settings of one is no other's trouble."""
        found: dict[str, Mapping[str, store.Channel] | ValueError] = {}
        for one in dict.fromkeys(application_ids):
            try:
                found[one] = self.channels.of(one)
            except ValueError as error:
                found[one] = error
        return [found[one] for one in application_ids]

    def _limits(self, asked: Sequence[None]) -> Sequence[limits.Limits]:
        return [self.rates.current()] * len(asked)

    def _turns(self, asks: Sequence[Ask]) -> Sequence[Turn]:
        return self.throttle.ask(asks)

    def _codes(self, request_ids: Sequence[UUID]) -> Sequence[str | None]:
        """The requests' one-time codes, sealed as they are stored; None for one that is not to be
        sent any more."""
        found = store.sealed_codes(self.db, set(request_ids))
        return [found.get(one) for one in request_ids]

    def _erase_codes(self, request_ids: Sequence[UUID]) -> Sequence[None]:
        store.erase_codes(self.db, set(request_ids))
        return [None] * len(request_ids)

    def known(self, request_id: UUID) -> render.Content | None:
        """A request that was read before."""
        kept = self._decoded.get(request_id)
        return None if kept is None else kept[1]

    async def stream(self, application_id: str) -> store.EventStream | None:
        """The application's event stream. A change is seen within seconds; while the database is
        away, it is what it was. `store.Unavailable` if it could never be read."""
        read = self._stream_of.get(application_id)
        if read is None or time.monotonic() - read[0] > _FRESH:
            try:
                found = await self._streams.put(application_id)
            except store.Unavailable:
                if read is None:
                    raise
                return read[1]
            read = self._stream_of[application_id] = time.monotonic(), found
        return read[1]

    def _read_streams(self, ids: Sequence[str]) -> Sequence[store.EventStream | None]:
        found = store.event_streams(self.db, set(ids))
        return [found.get(one) for one in ids]


def open_client(settings: Settings) -> Runtime:
    """A process that hands requests in and delivers none. With a broker in memory nobody hears its
    rings, so what it leaves is due at once for the sweep of the process that delivers."""
    if settings.embedded:
        settings = msgspec.structs.replace(settings, ring_again_after=0.001)
    return open_runtime(settings)


def open_runtime(settings: Settings) -> Runtime:
    """Put a process together. Nothing is connected yet."""
    return Runtime(
        settings=settings,
        db=store.connect(settings.database_url, vault=settings.vault()),
        rings=Rings(settings.broker_url),
        throttle=limiter(settings.broker_url),
        policy=retry.Policy(
            max_attempts=settings.max_attempts,
            backoff_base=settings.backoff_base,
            backoff_cap=settings.backoff_cap,
            throttle_pause=min(5.0, settings.backoff_cap),
        ),
    )
