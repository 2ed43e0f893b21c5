"""A deployment under torture: servers, the world outside, API and worker processes that are brought
back when they fall, and the hands that break each of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import redis
from sqlalchemy import text

from tests import servers
from tests.edges import processes
from tests.torture import faults, leaks, testimony, witness
from tests.torture.faults import Fault
from tests.torture.ledgers import Ledgers, Rules
from tests.torture.load import Load
from tests.torture.world import CHANNELS, World
from worker import settings as settings_
from worker import store, vault

LEASE = 4.0
SETTINGS = {
    "lease": LEASE,
    "ring_again_after": 2.0,
    "sweep_interval": 0.5,
    "backoff_base": 0.5,
    "backoff_cap": 2.0,
    "concurrency": 64,
    "window": 500,
    "wait": 0.5,
    "drain": 10.0,
    "message_ttl": 900.0,
    "log_level": "WARNING",
}
_STUCK = 60.0  # seconds without any change of any row: longer than any pause there is


def stepping_clock(directory: Path) -> Path | None:
    """The library that `clock.c` becomes, None without a C compiler. (libfaketime would step the
    monotonic clock, too, which no clock does when it is set.)"""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = directory / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


class Servers:
    """PostgreSQL, Redis and the world, for all the runs of a process."""

    def __init__(
        self, postgres: servers.Server, redis_: servers.Server, world: World, directory: Path
    ) -> None:
        self.postgres = postgres
        self.redis = redis_
        self.world = world
        self.directory = directory
        self.clock = stepping_clock(directory)
        self._numbers = itertools.count()

    def database(self) -> str:
        """The URL of a new empty database."""
        name = f"torture_{next(self._numbers)}"
        self.administer(f"CREATE DATABASE {name}")
        return f"{self.postgres.url.replace('://', '+psycopg://')}/{name}"

    def drop(self, url: str) -> None:
        self.administer(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def administer(self, statement: str) -> None:
        with psycopg.connect(f"{self.postgres.url}/postgres", autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Servers]:
    """Start what every run needs. Raises `servers.Missing`."""
    with servers.postgres() as postgres, servers.redis() as redis_:
        world = World(redis_port=redis_.port, log=directory / "world.log")
        try:
            yield Servers(postgres, redis_, world, directory)
        finally:
            world.close()


class Slot:
    """A place for a process. While it is `held`, whoever holds it keeps it down."""

    def __init__(self, start: Callable[[], processes.Worker]) -> None:
        self._start = start
        self.lock = threading.Lock()
        self.held = False
        self.ended_by_itself = 0
        self.starts = 0
        self.worker: processes.Worker | None = None

    def bring_up(self) -> None:
        """Start it unless it runs or is held down."""
        with self.lock:
            if self.held:
                return
            if self.worker is not None:
                if self.worker.process.poll() is None:
                    return
                if not self.worker.killed:
                    self.ended_by_itself += 1
            self.worker = self._start()
            self.starts += 1

    def take_down(self, number: int = signal.SIGKILL, grace: float = 15.0) -> None:
        """End it with a signal, and with SIGKILL if that does not end it in time."""
        with self.lock:
            self.held = True
            worker = self.worker
            if worker is None or worker.process.poll() is not None:
                return
            worker.killed = True
            os.killpg(worker.process.pid, number)
            try:
                worker.process.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait()

    def release(self) -> None:
        self.held = False
        self.bring_up()

    def signal(self, number: int) -> None:
        with self.lock:
            if self.worker is not None and self.worker.process.poll() is None:
                os.killpg(self.worker.process.pid, number)


class Scene:
    """A deployment, from an empty database on. Runs follow one another in it: a process that came
    through one goes on into the next."""

    def __init__(self, held: Servers, *, workers: int = 2, directory: Path) -> None:
        self.servers = held
        self.directory = directory
        self.done: Counter[str] = Counter()
        self.peak_rings = 0
        self.leaks: set[str] = set()
        self.quiet_since: float | None = None
        directory.mkdir(parents=True, exist_ok=True)
        held.postgres.start()
        held.redis.start()
        with redis.Redis.from_url(held.redis.url) as client:
            client.flushall()
        self.database_url = held.database()
        self.settings = settings_.Settings(
            database_url=self.database_url,
            broker_url=f"redis://127.0.0.1:{held.world.ports['redis']}/0",
            secret_keys=vault.new_key(),
            **SETTINGS,
        )
        self.db = store.connect(self.database_url, vault=self.settings.vault())
        store.upgrade(self.db)
        witness.install(self.db)
        self.applications = [store.create_application(self.db, name).id for name in ("a", "b")]
        for application, channel in itertools.product(self.applications, CHANNELS):
            store.set_channel(self.db, application, channel, **held.world.channels[channel])
        self.world_lock = threading.Lock()
        self.ports = [servers.free_port()]
        self.clock = directory / "clock"
        self.clock.write_text("0")
        self.api = [Slot(lambda port=port: self._api(port)) for port in self.ports]
        self.workers = [
            Slot(lambda number=number: self._worker(number)) for number in range(workers)
        ]
        self.locks = {name: threading.Lock() for name in ("redis", "postgres", "weather", "clock")}
        self._stopping = threading.Event()
        self._watching = [
            threading.Thread(target=self._supervise, daemon=True),
            threading.Thread(target=self._sample, daemon=True),
        ]

    @property
    def slots(self) -> list[Slot]:
        return [*self.api, *self.workers]

    def start(self) -> None:
        """Bring everything up, and wait until the API answers."""
        for slot in self.slots:
            slot.bring_up()
        for thread in self._watching:
            thread.start()
        for port in self.ports:
            servers.wait_for(port)

    def begin(self, seed: int) -> None:
        """A new run, with empty ledgers and in fair weather."""
        self.done.clear()
        self.peak_rings, self.quiet_since = 0, None
        self.leaks.clear()
        self.receipts = self.directory / f"receipts-{seed}.jsonl"
        with self.db.engine.begin() as connection:
            for table in testimony.TABLES:
                connection.execute(text(f"TRUNCATE {table}"))
        with self.world_lock:
            self.servers.world.begin(seed=seed, ledger=self.receipts)

    def load(self) -> Load:
        return Load([f"http://127.0.0.1:{port}" for port in self.ports], self.applications)

    def break_(self, planned: tuple[Fault, ...]) -> list[threading.Thread]:
        """Let things break at their times, each in a thread of its own, so that they overlap."""
        started = time.monotonic()
        threads = [
            threading.Thread(target=self._at, args=(started + one.at, one), daemon=True)
            for one in planned
        ]
        for thread in threads:
            thread.start()
        return threads

    def heal(self) -> None:
        """Everything works again. What was half open or stopped has to notice by itself."""
        for server in (self.servers.postgres, self.servers.redis):
            for process in _processes(server):
                _quietly(process.resume)
            server.start()
        for slot in self.slots:
            slot.signal(signal.SIGCONT)
            slot.release()
        with self.world_lock:
            for name in self.servers.world.ports:
                self.servers.world.proxy(name, mode="ok", delay=0.0, cut_after=None)
            self.servers.world.weather({})
        self.clock.write_text("0")
        self.quiet_since = time.time()

    def settle(self, stuck_after: float = _STUCK) -> float:
        """Wait until every row is DONE, or nothing at all changed for so long that it never will.
        Returns the seconds it took."""
        started = last = time.monotonic()
        seen = None
        while True:
            with self.db.reading() as connection:
                count, number = connection.execute(
                    text(
                        "SELECT (SELECT count(*) FROM message_result WHERE state <> 'DONE'), "
                        "(SELECT max(number) FROM witness)"
                    )
                ).one()
            now = time.monotonic()
            if not count:
                return now - started
            if number != seen:
                seen, last = number, now
            if now - last > stuck_after:
                return now - started
            time.sleep(0.1)

    def hush(self) -> None:
        """Wait until nothing is under way any more: whoever was stopped has said its late word."""
        written, give_up = None, time.monotonic() + _STUCK
        while True:
            with self.world_lock:
                now = self.servers.world.written()
            if now == written or time.monotonic() > give_up:
                return
            written = now
            time.sleep(1.2)

    def stop(self) -> None:
        """Stop the processes as an operator does."""
        self._stopping.set()
        for thread in self._watching:
            if thread.is_alive():
                thread.join()
        for slot in self.slots:
            slot.held = True
            slot.signal(signal.SIGTERM)
        for slot in self.slots:
            slot.take_down(signal.SIGTERM)

    def ledgers(self, load: Load, *, rings_bound: int | None = None) -> Ledgers:
        """What is known at the end. Call it after `hush`."""
        return Ledgers(
            rules=Rules(
                max_attempts=self.settings.max_attempts,
                lease=self.settings.lease,
                slack=1.0,
                rings_bound=rings_bound,
                quiet_since=self.quiet_since,
                oldest_sending=2 * self.settings.lease + 10.0,
            ),
            calls=load.calls,
            rows=testimony.rows(self.db),
            attempts=testimony.attempts(self.db),
            changes=testimony.changes(self.db),
            receipts=testimony.receipts(self.receipts),
            peak_rings=self.peak_rings,
            leaks=sorted(self.leaks | leaks.in_logs(self.directory)),
        )

    def close(self, *, keep: bool = False) -> None:
        self._stopping.set()
        for slot in self.slots:
            slot.take_down()
        self.db.close()
        if not keep:
            self.servers.drop(self.database_url)
            shutil.rmtree(self.directory, ignore_errors=True)

    # What breaks. Each method is named as in `faults.LENGTHS`; it returns when the fault is over.

    def _at(self, when: float, fault: Fault) -> None:
        pause = when - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        family, _, kind = fault.kind.partition("-")
        {
            "worker": self._break_process,
            "api": self._break_process,
            "redis": self._break_redis,
            "postgres": self._break_postgres,
            "provider": self._break_provider,
            "weather": self._break_weather,
            "clock": self._break_clock,
        }[family](kind, fault)

    def _break_process(self, kind: str, fault: Fault) -> None:
        slots = self.workers if fault.kind.startswith("worker") else self.api
        slot = slots[int(fault.draw * len(slots))]
        self.done[fault.kind] += 1
        if kind in {"kill", "term"}:
            slot.take_down(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
            time.sleep(fault.seconds)
            slot.release()
            return
        slot.signal(signal.SIGSTOP)
        time.sleep(fault.seconds * (self.settings.lease if kind == "stall" else 1.0))
        slot.signal(signal.SIGCONT)

    def _break_redis(self, kind: str, fault: Fault) -> None:
        server = self.servers.redis
        with self.locks["redis"]:
            self.done[fault.kind] += 1
            if kind in {"crash", "pause"}:
                _take_away(server, kind, fault.seconds)
            elif kind in {"blackhole", "refuse"}:
                self._proxy("redis", mode=kind)
                time.sleep(fault.seconds)
                self._proxy("redis", mode="ok")
            else:
                with redis.Redis.from_url(server.url) as client:
                    if kind == "flush":
                        client.flushall()
                    else:
                        client.client_kill_filter(_type="normal", skipme=True)

    def _break_postgres(self, kind: str, fault: Fault) -> None:
        server = self.servers.postgres
        with self.locks["postgres"]:
            self.done[fault.kind] += 1
            if kind in {"crash", "pause"}:
                _take_away(server, kind, fault.seconds)
            else:
                self.servers.administer(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname LIKE 'torture%'"
                )

    def _break_provider(self, kind: str, fault: Fault) -> None:
        name = CHANNELS[int(fault.draw * len(CHANNELS))]
        self.done[fault.kind] += 1
        if kind == "reset":
            self._proxy(name, reset=True)
            return
        if kind == "cut":
            self._proxy(name, cut_after=int(fault.draw * 1000) % 40)
            return
        if kind == "delay":
            self._proxy(name, delay=0.05 + fault.draw / 4)
        else:
            self._proxy(name, mode={"drop-answers": "drop-down"}.get(kind, kind))
        time.sleep(fault.seconds)
        self._proxy(name, mode="ok", delay=0.0)

    def _break_weather(self, _: str, fault: Fault) -> None:
        channels = CHANNELS if fault.draw < 0.5 else CHANNELS[:2]
        with self.locks["weather"]:
            self.done[fault.kind] += 1
            with self.world_lock:
                self.servers.world.weather(dict.fromkeys(channels, faults.WEATHER[fault.kind]))
            time.sleep(fault.seconds)
            with self.world_lock:
                self.servers.world.weather({})

    def _break_clock(self, _: str, fault: Fault) -> None:
        """One worker's wall clock steps an hour, to either side, and back."""
        if self.servers.clock is None:
            return
        with self.locks["clock"]:
            self.done[fault.kind] += 1
            self.clock.write_text("3600" if fault.draw < 0.5 else "-3600")
            time.sleep(fault.seconds)
            self.clock.write_text("0")

    def _proxy(self, name: str, **change: object) -> None:
        with self.world_lock:
            self.servers.world.proxy(name, **change)

    # What runs beside it.

    def _api(self, port: int) -> processes.Worker:
        command = ("worker.cli", "api", "--port", str(port))
        return processes.Worker(self.settings, self.directory / f"api-{port}.log", command)

    def _worker(self, number: int) -> processes.Worker:
        more = None
        if number == 0 and self.servers.clock is not None:
            more = {"LD_PRELOAD": str(self.servers.clock), "TORTURE_CLOCK": str(self.clock)}
        log = self.directory / f"worker-{number}.log"
        return processes.Worker(self.settings, log, processes.SENDPOINT, more)

    def _supervise(self) -> None:
        while not self._stopping.wait(0.2):
            for slot in self.slots:
                slot.bring_up()

    def _sample(self) -> None:
        """Look into Redis, past the proxy: how many rings wait, and what they say."""
        while not self._stopping.wait(0.2):
            with (
                contextlib.suppress(redis.RedisError, OSError),
                redis.Redis.from_url(self.servers.redis.url, socket_timeout=0.5) as client,
            ):
                waiting, found = leaks.in_redis(client)
                self.peak_rings = max(self.peak_rings, waiting)
                self.leaks |= found


def _take_away(server: servers.Server, kind: str, seconds: float) -> None:
    """Let a server crash, or stand still, for so long."""
    if kind == "crash":
        server.crash()
        time.sleep(seconds)
        server.start()
        return
    stopped = _processes(server)
    for process in stopped:
        _quietly(process.suspend)
    time.sleep(seconds)
    for process in stopped:
        _quietly(process.resume)


def _processes(server: servers.Server) -> list[psutil.Process]:
    """A server's process and those that it has started; none if it is down."""
    if server.running:
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(server.process.pid)
            return [first, *first.children(recursive=True)]
    return []


def _quietly(call: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        call()
