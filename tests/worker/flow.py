"""A whole backend in virtual time: the real ledger, intake and dispatch; a broker that is a list,
an adapter that plays a script, and a clock that is moved to whatever is due next."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text

from adapters.contract import ChannelType, successful
from worker import (
    dispatch,
    intake,
    limits,
    retry,
    runtime,
    settings,
    store,
    sweeping,
    throttle,
    vault,
    wire,
)
from worker.store import tables


class Clock:
    def __init__(self):
        self.time = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.time

    def move(self, seconds):
        self.time += timedelta(seconds=seconds)


class Rings:
    """A broker's publishing end that keeps the rings; `broken` makes it a broker that is down."""

    def __init__(self):
        self.rung = []
        self.broken = False

    def ring(self, rings):
        if self.broken:
            return False
        self.rung.extend(rings)
        return True

    def waiting(self, queue):
        if self.broken:
            raise ConnectionError
        return sum(ring.queue == queue for ring in self.rung)

    def is_full(self, queue, window):
        return self.broken or self.waiting(queue) >= window

    def close(self):
        pass


class Script:
    """An adapter that plays what a test wrote: outcomes, or functions of the delivery, by address;
    the last one again and again. `sent` are the deliveries."""

    def __init__(self):
        self.by_address = defaultdict(lambda: [successful(message_id="m")])
        self.sent = []
        self.closed = 0

    def says(self, address, *outcomes):
        self.by_address[address] = list(outcomes)

    async def send(self, delivery):
        self.sent.append(delivery)
        outcomes = self.by_address[delivery.address]
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return await outcome(delivery) if callable(outcome) else outcome

    async def aclose(self):
        self.closed += 1


class Channels:
    """Every channel goes to the providers in `providers`, by name; `missing` channels are not
    enabled, and `error` is what opening an adapter raises."""

    def __init__(self, adapter):
        self.providers = {"default": adapter}
        self.application = None
        self.weights = {}
        self.missing = set()
        self.error = None

    def enabled(self, application_id):
        if self.application not in {None, application_id}:
            return None
        return frozenset(str(name) for name in ChannelType if name not in self.missing)

    def of(self, application_id):
        providers = tuple(
            store.Provider(name, "script", {}, self.weights.get(name, 1)) for name in self.providers
        )
        return {name: store.Channel(name, providers) for name in self.enabled(application_id)}

    cached = of

    def open(self, application_id, channel_type, provider):
        if self.error is not None:
            raise self.error
        return self.providers[provider.name], None

    def adapters(self):
        return list(self.providers.values())


def open_runtime(database_url, clock, rings, seed=1, sleep=asyncio.sleep, *, db=None, **changes):
    """A process of the backend: the real one, but for its clock, its broker and its chance."""
    config = settings.Settings(database_url=database_url, **changes)
    return runtime.Runtime(
        settings=config,
        db=db
        or store.connect(database_url, now=clock, vault=vault.Vault(vault.parse(vault.new_key()))),
        rings=rings,
        policy=retry.Policy(max_attempts=config.max_attempts),
        rng=random.Random(seed),
        clock=lambda: clock().timestamp(),
        throttle=throttle.Limiter(
            alone=throttle.Alone(lambda: round(clock().timestamp() * throttle.SECOND))
        ),
        sleep=sleep,
    )


class Backend:
    def __init__(self, database_url, **changes):
        self.clock = Clock()
        self.rings = Rings()
        self.adapter = Script()
        self.runtime = open_runtime(
            database_url,
            self.clock,
            self.rings,
            sleep=self._sleep,
            **changes,
        )
        self.channels = self.runtime.channels = Channels(self.adapter)
        store.upgrade(self.runtime.db)
        self.application = store.create_application(self.runtime.db, "shop").id
        self.channels.application = self.application

    def close(self):
        self.runtime.close()

    def limit(self, what, rate, *, owner=None, burst=None):
        """Set a limit of the application's, which is seen at once."""
        what, rate = limits.what(what), limits.rate(rate)
        burst = burst or limits.default_burst(what, rate)
        store.set_limit(self.runtime.db, owner or self.application, what, rate, burst)
        self.runtime.rates.forget()

    async def _sleep(self, seconds):
        until = self.clock() + timedelta(seconds=seconds)
        await asyncio.sleep(0)  # the others of the batch look at the clock first
        self.clock.time = max(self.clock.time, until)

    def accept(self, *addresses, channel="CUSTOM", key=None, caller="", **members):
        request = {
            "MessageConfiguration": {"DefaultMessage": {"Body": "Hello"}},
            "Addresses": {address: {"ChannelType": channel} for address in addresses},
        } | members
        return intake.accept(
            self.runtime,
            self.application,
            wire.convert(request, wire.MessageRequest),
            idempotency_key=key,
            caller=caller,
        ).request_id

    def work(self):
        """Answer every ring, as many at once as a worker does, and each of them twice: the second
        must find nothing to do."""
        rung, self.rings.rung = self.rings.rung, []
        twice = [ring for ring in rung for _ in range(2)]

        async def deliver():
            room = self.runtime.settings.concurrency
            for start in range(0, len(twice), room):
                bulk = twice[start : start + room]
                await asyncio.gather(
                    *(dispatch.deliver(self.runtime, one.id, one.lane) for one in bulk)
                )

        asyncio.run(deliver())
        return len(rung)

    def sweep(self):
        return sweeping.sweep(self.runtime)

    def settle(self, limit=200):
        """Work, sweep and move the clock to what is due next until everything is DONE. Returns
        the virtual seconds that it took."""
        started = self.clock()
        for _ in range(limit):
            self.work()
            if not self.rows_open():
                return (self.clock() - started).total_seconds()
            self.sweep()
            if self.rows_open() and not self.rings.rung:
                due = self._next_due()
                # What is due and not rung for is of a lane that is paused.
                self.clock.move(max(0.01, due) if due > -1 else 1.0)
        raise AssertionError(f"{self.rows_open()} rows are stuck")

    def results(self, request_id):
        return {
            one.endpoint_id or one.address: one
            for one in store.results(self.runtime.db, self.application, request_id)
        }

    def count(self, table):
        return self.scalar(select(func.count()).select_from(table))

    def scalar(self, statement):
        with self.runtime.db.reading() as connection:
            return connection.execute(statement).scalar()

    def rows_open(self):
        row = tables.message_result.c
        return self.scalar(select(func.count()).where(row.state != store.State.DONE))

    def _next_due(self):
        row = tables.message_result.c
        with self.runtime.db.reading() as connection:
            soonest = connection.execute(
                select(
                    func.min(func.coalesce(row.lease_until, row.ring_at), type_=tables.Utc)
                ).where(row.state != store.State.DONE)
            ).scalar()
        return (soonest - self.clock()).total_seconds()


def at_once(count, function):
    """What `count` threads that start together get; what one of them raises is what it gets."""
    barrier = threading.Barrier(count)
    got = []

    def run():
        barrier.wait(30)
        try:
            got.append(function())
        except wire.RequestError as error:
            got.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return got


def until(true, seconds=30):
    """Look until something is so."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.005)


def blocked(backend):
    """How many of PostgreSQL's connections wait for another's transaction."""
    waiting = text("wait_event_type = 'Lock' AND datname = current_database()")
    return backend.scalar(select(func.count()).select_from(text("pg_stat_activity")).where(waiting))
