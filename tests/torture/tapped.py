"""A deployment whose every wire is tapped: the callers' to the API, those of the API, of the worker
and of `sendpoint sweep` to PostgreSQL and Redis, and the worker's to the providers of email and
texts.

Its processes come back only when they are let: so it is known which one died at a word, and what it
had left behind by then.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis

from tests import servers
from tests.edges import processes
from tests.torture import checker, speech, testimony
from tests.torture.ledgers import Row
from tests.torture.load import Caller, Load, Plan, address
from tests.torture.scene import Scene, Servers, Slot
from tests.torture.tap import Tap, tapping
from worker import limits, store

API, WORKER, SWEEP = "api", "worker", "sweep"
CALLERS, POSTGRESQL, REDIS = "callers", "postgresql", "redis"
_PROVIDERS = {"EMAIL": speech.Smtp, "SMS": speech.Http}
_RATE = limits.Rate(10_000, 1)


class Tapped:
    """The deployment; `taps` by who is at the one end of the wire and who at the other."""

    def __init__(self, held: Servers, tapped: Any, directory: Path) -> None:
        self._numbers = itertools.count(1)
        self.scene = scene = Scene(held, workers=0, directory=directory)
        self.db = scene.db
        (port,) = scene.ports
        self.taps: dict[tuple[str, str], Tap] = {(API, CALLERS): tapped(port, speech.Http)}
        for process in (API, WORKER, SWEEP):
            self.taps[process, POSTGRESQL] = tapped(held.postgres.port, speech.PostgreSQL)
            self.taps[process, REDIS] = tapped(held.redis.port, speech.Redis)
        self.application, _ = scene.applications
        for channel, speaks in _PROVIDERS.items():
            tap = self.taps[WORKER, channel] = tapped(held.world.ports[channel], speaks)
            provider = held.world.channels[channel]
            at = {
                "EMAIL": {"port": tap.port},
                "SMS": {"base_url": f"http://127.0.0.1:{tap.port}"},
            }[channel]
            settings = {**provider["settings"], **at}
            store.set_channel(
                self.db,
                self.application,
                channel,
                adapter=provider["adapter"],
                settings=settings,
            )
        # Far from being reached: what they are for is that Redis is asked.
        for what in (limits.REQUESTS, limits.ALL):
            store.set_limit(self.db, self.application, what, _RATE, burst=_RATE.count)
        key = store.create_key(self.db, "caller")
        self.key = key.id, key.secret
        self.slots = {
            API: Slot(lambda: self._start(API, "api", "--port", str(port))),
            WORKER: Slot(lambda: self._start(WORKER, "worker")),
            SWEEP: Slot(lambda: self._start(SWEEP, "sweep")),
        }

    def begin(self) -> None:
        """Empty ledgers, empty queues, API and worker up."""
        for tap in self.taps.values():
            tap.disarm()
        self.lose_rings()
        self.scene.begin(next(self._numbers))
        for one in (API, WORKER):
            self.slots[one].release()
        servers.wait_for(*self.scene.ports)

    def call(self, channels: Collection[str], word: str = "") -> Caller:
        """Have somebody ask for a message on each of these channels, whose provider does what the
        word says (`adapters.magic`)."""
        number = next(self._numbers) * 1000
        addresses = {address(one, number + at, word): one for at, one in enumerate(channels)}
        front = self.taps[API, CALLERS].port
        load = Load([f"http://127.0.0.1:{front}"], [self.application], callers=1, key=self.key)
        return Caller(load, [Plan(f"crash-{number}", 0.0, "keyed", addresses)])

    def lose_rings(self) -> None:
        """Redis comes back empty."""
        with redis.Redis.from_url(self.scene.servers.redis.url) as client:
            client.flushall()

    def rows(self) -> list[Row]:
        return testimony.rows(self.db)

    def sent(self) -> int:
        """How many messages the providers have taken."""
        return sum(one.accepted for one in testimony.receipts(self.scene.receipts))

    def judged(self, caller: Caller) -> checker.Report:
        """Wait for the end, and compare the ledgers."""
        self.scene.quiet_since = time.time()
        caller.wait()
        self.scene.settle()
        return checker.check(self.scene.ledgers(caller.load))

    def last_words(self) -> str:
        """What its processes have logged."""
        logs = self.scene.directory.glob("*.log")
        return "\n".join(one.read_text(errors="replace")[-2000:] for one in logs)

    def close(self) -> None:
        for slot in self.slots.values():
            slot.take_down()
        self.scene.close()

    def upgrade(self, database_url: str, tap: Tap, log: Path) -> processes.Worker:
        """Bring the schema of another database up to date, by way of a tap."""
        settings = msgspec.structs.replace(
            self.scene.settings, database_url=_by_way_of(tap, database_url)
        )
        return processes.Worker(settings, log, ("worker.cli", "db", "upgrade"))

    def _start(self, process: str, *command: str) -> processes.Worker:
        settings = self.scene.settings
        settings = msgspec.structs.replace(
            settings,
            auth=True,
            database_url=_by_way_of(self.taps[process, POSTGRESQL], settings.database_url),
            broker_url=_by_way_of(self.taps[process, REDIS], settings.broker_url),
        )
        log = self.scene.directory / f"{process}.log"
        return processes.Worker(settings, log, ("worker.cli", *command))


def _by_way_of(tap: Tap, url: str) -> str:
    return re.sub(r":\d+/", f":{tap.port}/", url)


@contextlib.contextmanager
def deployed(held: Servers, directory: Path) -> Iterator[Tapped]:
    """The deployment; nothing of it runs before it begins."""
    with tapping() as tapped:
        deployment = Tapped(held, tapped, directory)
        try:
            yield deployment
        finally:
            deployment.close()
