"""A simulator: the real intake, delivery and sweep under every kind of interleaving, in virtual
time, all drawn from one seed.

Each worker has an event loop of its own that is turned by hand, and its calls to the database wait
at a gate until the simulation lets one through. So between any two steps of a delivery anything may
happen: its worker is killed (its loop is never turned again) or stopped, its commit is cut off or
the answer to it lost, its ring comes twice or never, the provider reads early, late, or not at all,
clocks move. After the storm everything is let run, and the ledgers are judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import re
import sys
import time
import types
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError

from adapters.contract import (
    Delivery,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    successful,
    temporary,
    throttled,
)
from tests.torture import checker, testimony, witness
from tests.torture.ledgers import Answer, Call, Ledgers, Receipt, Rules
from tests.worker import flow
from worker import dispatch, intake, rings, runtime, store, sweeping, vault, wire
from worker.store import tables

LEASE = 10.0
MAX_ATTEMPTS = 4
_CHANNELS = ("EMAIL", "EMAIL", "GCM", "SMS", "CUSTOM")
_PATIENCE = 100  # rounds of fair weather in which everything must come to its end
_SWEEP = 2.0  # seconds between two sweeps in fair weather, at most, once something is due
_LOGGERS = ("worker", "sendpoint")
_BODY = "Hello"


_T = TypeVar("_T")


class Killed(BaseException):
    """The process ends here: nothing below it is run any more."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop in virtual time that runs only while it is turned."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.time = clock  # type: ignore[method-assign]

    def turn(self) -> None:
        """Run what is ready, and what that makes ready, and nothing that is not."""
        for _ in range(1000):
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("the loop does not come to rest")


@dataclass
class Pending:
    """A call to the database that waits at the gate."""

    run: Callable[[], Any]
    future: Future[Any]


class Gate(Executor):
    """An executor whose calls run one by one, when the simulation says so."""

    def __init__(self, **_: object) -> None:
        self.calls: list[Pending] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append(Pending(lambda: fn(*args, **kwargs), future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.calls.clear()


class Wire:
    """A process's way to the database. Of the commits that follow, number `before` is never made
    and number `after` is never answered. What its process sees of that is `then`: an error, or it
    is killed."""

    def __init__(self, db: store.Database) -> None:
        self.db = db
        self._commit = db.engine.dialect.do_commit
        db.engine.dialect.do_commit = self._do_commit
        self.clear()

    def clear(self) -> None:
        self.before: int | None = None
        self.after: int | None = None
        self.then: Callable[[], BaseException] = _gone

    def _do_commit(self, connection: Any) -> None:
        if self.before == 0:
            self._break()
        self._commit(connection)
        if self.after == 0:
            self._break()
        self.before = None if self.before is None else self.before - 1
        self.after = None if self.after is None else self.after - 1

    def _break(self) -> None:
        then = self.then
        self.clear()
        raise then()


def _gone() -> BaseException:
    return OperationalError("COMMIT", None, ConnectionResetError("simulated"))


class Site:
    """A database for simulations, migrated and with a witness. Connections are kept from one
    process and one seed to the next: opening them is most of what a process costs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = flow.Clock()
        self.secret = vault.new_key()
        db = self._open()
        store.upgrade(db)
        witness.install(db)
        self.applications = [
            store.create_application(db, name).id for name in ("simulation", "another")
        ]
        self.control = db
        self._wires: list[Wire] = []

    def take(self) -> Wire:
        """A way to the database for a new process."""
        if self._wires:
            return self._wires.pop()
        return Wire(self._open())

    def give_back(self, wire: Wire) -> None:
        wire.clear()
        self._wires.append(wire)

    def clear(self) -> None:
        """Leave nothing of the seed before."""
        self.clock.time = flow.Clock().time
        with self.control.engine.begin() as connection:
            for table in testimony.TABLES:
                connection.execute(text(f"DELETE FROM {table}"))

    def forget(self) -> None:
        """Let every statement be made anew: the functions that make them have changed."""
        for one in self._wires:
            one.db._statements.clear()
        self.control._statements.clear()

    def close(self) -> None:
        for one in self._wires:
            one.db.close()
        self.control.close()

    def _open(self) -> store.Database:
        db = store.connect(self.url, vault=vault.Vault(vault.parse(self.secret)))

        @event.listens_for(db.engine, "connect")
        def _keep_time(connection: Any, _: object) -> None:
            connection.create_function("strftime", -1, self._strftime, deterministic=True)

        return db

    def _strftime(self, _: str, start: str, shift: str = "0 seconds") -> str:
        """SQLite's own, for what the store and the witness ask of it, on the simulation's clock."""
        if start != "now":
            raise ValueError(start)
        when = self.clock() + timedelta(seconds=float(shift.partition(" ")[0]))
        return f"{when:%Y-%m-%d %H:%M:%S.%f}"


@dataclass(eq=False)
class Send:
    """A message on its way to the provider. `worker` hears the answer, if it still can."""

    delivery: Delivery
    answer: asyncio.Future[Outcome]
    worker: Process
    token: int
    claimed_at: float
    ends: float
    said: Outcome | None = None


class Adapter:
    """What a worker sends through: keeps to its deadline, as every adapter does."""

    def __init__(self, world: Simulation, worker: Process) -> None:
        self._world, self._worker = world, worker

    async def send(self, delivery: Delivery) -> Outcome:
        answer = self._worker.loop.create_future()
        send = self._world.sent(self._worker, delivery, answer)
        try:
            async with asyncio.timeout(delivery.timeout):
                return await answer
        except TimeoutError:
            if send in self._world.unread:
                self._world.unread.remove(send)
                if self._world.rng.random() < 0.5:  # it left, and is read after all
                    self._world.unread.append(send)
                    return indeterminate("no answer came")
                return temporary(504, "not reached")
            return indeterminate("no answer came")

    async def aclose(self) -> None:
        pass


class Broker(flow.Rings):
    """The list of rings. `dies` is raised in the hand of whoever rings next; `overfull` is the
    length of a queue that was longer than `bound`, not counting those that came twice on their
    own. `look` sees what Redis would hold of each."""

    def __init__(self, bound: int, look: Callable[[str], None]) -> None:
        super().__init__()
        self.bound, self.look = bound, look
        self.overfull = self.doubled = 0
        self.dies: Callable[[], BaseException] | None = None

    def ring(self, due: Sequence[store.Ring]) -> bool:
        if self.dies is not None:
            dies, self.dies = self.dies, None
            raise dies()
        taken: bool = super().ring(due)
        for one in due if taken else ():
            body = rings._body(one.id.hex, one.lane)
            self.look(f"{one.queue} {rings._headers(str(one.id))} {body}")
        for queue in {one.queue for one in due} if taken else ():
            length = self.waiting(queue) - self.doubled
            if length > self.bound:
                self.overfull = length
        return taken


class Process:
    """A worker process, from its start to its end. `stopped` is SIGSTOP."""

    def __init__(self, world: Simulation, number: int) -> None:
        self.number = number
        self.alive, self.stopped = True, False
        self.loop = Loop(world.monotonic)
        self.wire = world.site.take()
        with _patched(runtime, "ThreadPoolExecutor", Gate):
            self.runtime = flow.open_runtime(
                world.site.url,
                world.clock,
                world.broker,
                seed=world.rng.random(),
                db=self.wire.db,
                **world.changes,
            )
        self.runtime.channels = flow.Channels(Adapter(world, self))
        self.gate: Gate = self.runtime.executor  # type: ignore[assignment]
        self.claims: dict[tuple[str, int], tuple[int, float]] = {}

    @property
    def runs(self) -> bool:
        return self.alive and not self.stopped

    def hear(self, rings: Sequence[store.Ring]) -> None:
        """Rings arrive."""
        for one in rings:
            self.loop.create_task(dispatch.deliver(self.runtime, one.id, one.lane))
        self.loop.turn()

    def end(self, site: Site) -> None:
        """Be gone, without another word."""
        self.alive = False
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.loop.close()
        site.give_back(self.wire)


class Listener(logging.Handler):
    """Has `look` see every line of a log, with its traceback."""

    def __init__(self, look: Callable[[str], None]) -> None:
        super().__init__()
        self.look = look

    def emit(self, record: logging.LogRecord) -> None:
        self.look(self.format(record))


@dataclass
class Result:
    """What a seed came to."""

    seed: int
    steps: int
    report: checker.Report
    faults: int
    virtual_seconds: float
    history: list[str] = field(repr=False, default_factory=list)


class Simulation:
    """One seed. `recipients` is about how many there will be, `breadth` how many of them a step is
    about at most: 1 explores what may come between any two steps of a delivery, more what batches
    do. `kills`, `stops` and `failing` are how often workers are killed or stopped, and providers
    are not available, beside what else happens. `applications` take turns in what is asked. Of ten
    requests `repeats` ask for some messages of one before them once more, and there is a window in
    which these are not sent again."""

    def __init__(
        self,
        site: Site,
        seed: int,
        *,
        steps: int = 150,
        workers: int = 3,
        recipients: int = 12,
        breadth: int = 1,
        kills: int = 2,
        stops: int = 2,
        failing: int = 2,
        applications: int = 1,
        repeats: int = 0,
    ) -> None:
        self.site, self.seed = site, seed
        self.applications = site.applications[:applications]
        self.steps, self.most, self.breadth = steps, recipients, breadth
        self.failing = failing
        self.rng = random.Random(f"simulation {seed}")
        # A chance of its own: storms without repetitions stay what they were.
        self.repeats, self.repeating = repeats, random.Random(f"repetitions {seed}")
        self.asked: list[dict[str, str]] = []
        self.changes = {
            "lease": LEASE,
            "max_attempts": MAX_ATTEMPTS,
            "message_ttl": self.rng.choice([40.0, 3600.0]),
            "ring_again_after": 5.0,
            "window": self.rng.choice([4 * breadth, 500]),
            "backoff_base": 1.0,
            "dedupe_window": self.repeating.choice([LEASE, 10 * LEASE]) if repeats else 0.0,
        }
        self.clock = site.clock
        self.control = site.control
        self.ticks = 1000.0
        names = "|".join({*_CHANNELS, "nobody"})
        self.private = re.compile(rf"(?:{names})-\d+-\d+|{_BODY}|{re.escape(site.secret)}")
        self.leaks: set[str] = set()
        self.broker = Broker(
            self.changes["window"] + min(4 * breadth, 100), lambda words: self._look("Redis", words)
        )
        self.unread: list[Send] = []
        self.read: list[Send] = []
        self.calls: list[Call] = []
        self.receipts: list[Receipt] = []
        self.tokens: dict[tuple[str, int], int] = {}
        self.complaints: list[tuple[str, str, str]] = []
        self.faults = 0
        self.history: list[str] = []
        self.under_way: dict[str, Send] = {}
        self.newest: dict[UUID, int] = {}
        self.clock_set_at = 0.0
        self.quiet_since: float | None = None
        self.accepted = self.refused = 0
        self.witnessed = 0
        self.intake = Process(self, 0)
        self.workers = [Process(self, number) for number in range(1, workers + 1)]
        self.chooses: list[tuple[int, Callable[[], object]]] = [
            (6, self.accept),
            (1, self.refuse),
            (25, self.let_through),
            (15, self.ring),
            (15, self.provider_reads),
            (12, self.provider_answers),
            (8, self.sweep),
            (8, self.time_passes),
            (kills, self.kill),
            (stops, self.stop),
            (4, self.go_on),
            (2, self.lose_rings),
            (2, self.double_rings),
            (1, self.database_clock_jumps),
            (1, self.broker_breaks),
            (1, self.drain),
        ]

    def monotonic(self) -> float:
        return self.ticks

    def run(self) -> Result:
        """The storm, then fair weather until everything is settled; then the judgement."""
        start = self.ticks
        with self._time(), self._listening():
            weights = [weight for weight, _ in self.chooses]
            for _ in range(self.steps):
                ((_, act),) = self.rng.choices(self.chooses, weights)
                act()
                self._check_step()
            self.fair_weather()
        report = checker.check(self.ledgers())
        extra = [checker.Violation(*one) for one in self.complaints]
        report = dataclasses.replace(report, violations=tuple(sorted((*report.violations, *extra))))
        self.close()
        return Result(self.seed, self.steps, report, self.faults, self.ticks - start, self.history)

    def close(self) -> None:
        for process in (self.intake, *self.workers):
            process.end(self.site)

    # What may happen in a step.

    def accept(self) -> None:
        """A caller sends a request, once or twice, and things may break under intake's hand."""
        channels = self._new() | self._again()
        if not channels:
            return
        self.asked.append(channels)
        name = f"call-{len(self.asked)}"
        application = self.applications[len(self.calls) % len(self.applications)]
        said, answer, ids = None, Answer.UNKNOWN, []
        for _ in range(self.rng.choice([1, 1, 2])):
            self._endanger(self.intake, commits=1)
            if self.rng.random() < 0.05:
                self.broker.dies = Killed
            try:
                said = intake.accept(
                    self.intake.runtime,
                    application,
                    wire.convert(_request(channels), wire.MessageRequest),
                    idempotency_key=name,
                )
            except (Killed, OperationalError):
                self.faults += 1
            else:
                ids.append(str(said.request_id))
                answer = Answer.ACKNOWLEDGED
            self.broker.dies = None
            self.intake.wire.clear()
        self._note(f"accept {name} {list(channels)} {answer}")
        self.calls.append(
            Call(
                name=name,
                application_id=application,
                addresses=tuple(channels),
                answer=answer,
                request_ids=tuple(ids),
            )
        )

    def _new(self) -> dict[str, str]:
        """Recipients whom nobody asked for before, with their channels; none once all have come."""
        if self.accepted >= self.most:
            return {}
        count = self.rng.randint(1, min(4 * self.breadth, 50 if self.repeats else 100))
        first, self.accepted = self.accepted, self.accepted + count
        return {
            f"{channel}-{self.seed}-{first + number}": channel
            for number in range(count)
            for channel in [self.rng.choice(_CHANNELS)]
        }

    def _again(self) -> dict[str, str]:
        """Some recipients of a request before, now and then."""
        if not self.asked or self.repeating.random() >= self.repeats / 10:
            return {}
        before = self.repeating.choice(self.asked)
        count = self.repeating.randint(1, min(len(before), 50))
        return {one: before[one] for one in self.repeating.sample(list(before), count)}

    def refuse(self) -> None:
        """A caller sends what nobody can take: 101 recipients are one too many."""
        channels = {f"nobody-{self.refused}-{number}": "EMAIL" for number in range(101)}
        self.refused += 1
        try:
            intake.accept(
                self.intake.runtime,
                self.applications[0],
                wire.convert(_request(channels), wire.MessageRequest),
            )
        except wire.BadRequest:
            self.calls.append(
                Call(
                    name=f"refused-{self.refused}",
                    application_id=self.applications[0],
                    addresses=tuple(channels),
                    answer=Answer.REFUSED,
                    status=400,
                )
            )
        else:
            self._complain("I11", "unexpected", "a request with 101 recipients was accepted")

    def let_through(self) -> None:
        """One call of some worker reaches the database, or does not, or its answer is lost."""
        ready = [one for one in self.workers if one.runs and one.gate.calls]
        if ready:
            worker = self.rng.choice(ready)
            self._endanger(worker, commits=1)
            self._perform(worker, worker.gate.calls.pop(self.rng.randrange(len(worker.gate.calls))))

    def ring(self) -> None:
        """A ring arrives at some worker."""
        ready = [one for one in self.workers if one.runs]
        if ready:
            self.rng.choice(ready).hear(self._some(self.broker.rung))

    def provider_reads(self) -> None:
        """The provider reads a message, whatever has become of its sender."""
        for send in self._some(self.unread):
            self._read(send, self._draw_outcome())

    def provider_answers(self) -> None:
        """The sender hears the answer, or never does."""
        answered = []
        for send in self._some(self.read):
            if self.rng.random() < 0.1:
                self.faults += 1
                self._note(f"answer to {send.delivery.address} is lost")
            else:
                answered.append(send)
        self._answer(answered)

    def sweep(self) -> None:
        """A worker sweeps, or is killed or cut off half way."""
        ready = [one for one in self.workers if one.runs]
        if ready:
            worker = self.rng.choice(ready)
            self._endanger(worker, commits=self.rng.randint(1, 4))
            if self.rng.random() < 0.05:
                self.broker.dies = Killed
            future: Future[Any] = Future()
            self._perform(worker, Pending(lambda: sweeping.sweep(worker.runtime), future))
            self.broker.dies = None

    def time_passes(self) -> None:
        self._pass(self.rng.choice([0.05, 0.5, 2.0, LEASE / 2, LEASE * 1.1]))

    def kill(self) -> None:
        """SIGKILL, and a new process in its place. What it had sent may still be read."""
        ready = [one for one in self.workers if one.alive]
        if ready:
            self._kill(self.rng.choice(ready))

    def stop(self) -> None:
        """SIGSTOP."""
        ready = [one for one in self.workers if one.runs]
        if len(ready) > 1:
            self.faults += 1
            self.rng.choice(ready).stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        for worker in self.workers:
            if worker.alive and worker.stopped:
                worker.stopped = False
                worker.loop.turn()
                return

    def drain(self) -> None:
        """SIGTERM: it claims nothing more, finishes, gives its rings back and is replaced."""
        ready = [one for one in self.workers if one.runs]
        if len(ready) > 1:
            worker = self.rng.choice(ready)
            worker.runtime.draining = True
            self._turn_until_idle(worker)
            sweeping.give_back(worker.runtime)
            self._replace(worker)

    def lose_rings(self) -> None:
        if self.broker.rung:
            self.faults += 1
            self.broker.rung = self.rng.sample(
                self.broker.rung, self.rng.randrange(len(self.broker.rung))
            )

    def double_rings(self) -> None:
        if self.broker.rung:
            self.faults += 1
            self.broker.rung.append(self.rng.choice(self.broker.rung))
            self.broker.doubled += 1

    def broker_breaks(self) -> None:
        self.faults += 1
        self.broker.broken = not self.broker.broken

    def database_clock_jumps(self) -> None:
        """The database's clock is set, to either side. Nobody's monotonic clock is."""
        self.faults += 1
        self.clock_set_at = self.ticks
        seconds = self.rng.choice([-3.0, LEASE * 1.5, 3.0])
        if self.repeats:  # set back, it would not say which of two messages was accepted first
            seconds = abs(seconds)
        self.clock.move(seconds)
        self._note(f"the database's clock is set by {seconds} s")

    # How it comes to its end.

    def fair_weather(self) -> None:
        """Nothing breaks any more, and everybody gets their turn."""
        self.broker.broken = False
        self.quiet_since = self.clock().timestamp()
        for worker in self.workers:
            worker.stopped = False
            worker.loop.turn()
        for _ in range(_PATIENCE):
            for worker in self.workers:
                while worker.gate.calls:
                    self._perform(worker, worker.gate.calls.pop(0))
            while self.unread:
                self._read(self.unread.pop(0), None)
            answered, self.read = self.read, []
            self._answer(answered)
            rung, self.broker.rung = self.broker.rung, []
            for number, worker in enumerate(self.workers):
                worker.hear(rung[number :: len(self.workers)])
            if any(one.gate.calls for one in self.workers) or self.unread or self.read:
                continue
            if not self._open() and not any(one.gate.calls for one in self.workers):
                return
            worker = self.rng.choice(self.workers)
            self._perform(worker, Pending(lambda: sweeping.sweep(worker.runtime), Future()))  # noqa: B023
            if not self.broker.rung and not self.unread and not self.read:
                self._pass(max(self.rng.uniform(0.2, _SWEEP), min(self._next_due(), LEASE)))

    def ledgers(self) -> Ledgers:
        now = self.clock().timestamp()
        return Ledgers(
            rules=Rules(
                max_attempts=MAX_ATTEMPTS,
                lease=LEASE,
                # The tokens of its sends are known here: `_check_send` is stricter than times.
                slack=now,
                quiet_since=self.quiet_since,
                oldest_sending=2 * LEASE + _SWEEP,
                dedupe_window=self.changes["dedupe_window"],
            ),
            calls=self.calls,
            rows=testimony.rows(self.control),
            attempts=testimony.attempts(self.control),
            changes=testimony.changes(self.control),
            receipts=self.receipts,
            leaks=sorted(self.leaks),
        )

    # The machinery.

    def sent(self, worker: Process, delivery: Delivery, answer: asyncio.Future[Outcome]) -> Send:
        """A worker begins to send. It may only while its lease lasts, and end it within it."""
        claim = worker.claims.get((delivery.id, delivery.attempt))
        if claim is None:
            self._complain("I14", "unfenced", f"{delivery.address} is sent as {delivery.id}")
        token, claimed_at = claim or (0, self.ticks)
        ends = self.ticks + delivery.timeout
        if ends > claimed_at + LEASE:
            late = f"{ends - claimed_at - LEASE:.1f} s after its lease"
            self._complain("I9", "unfenced", f"{delivery.address} may be sent until {late}")
        send = Send(delivery, answer, worker, token, claimed_at, ends)
        before, self.under_way[delivery.id] = self.under_way.get(delivery.id), send
        held = before is not None and not before.answer.done() and self.ticks < before.ends
        # A clock that is set ends leases before their time: then nobody can do better.
        if before is not None and held and min(before.claimed_at, claimed_at) > self.clock_set_at:
            self._complain("I9", "unfenced", f"two send {delivery.address} at once")
        self.unread.append(send)
        self._note(f"worker {worker.number} sends {delivery.address} (token {token})")
        return send

    def _read(self, send: Send, outcome: Outcome | None) -> None:
        address = send.delivery.address
        send.said = outcome or successful(message_id=f"{send.delivery.id}/{len(self.receipts)}")
        accepted = send.said.status == "SUCCESSFUL"
        self.receipts.append(
            Receipt(
                channel=str(send.delivery.channel),
                address=address,
                at=self.clock().timestamp(),
                accepted=accepted,
                message_id=send.delivery.id,
                provider_id=send.said.message_id,
            )
        )
        if accepted:
            key = (send.delivery.id, send.token)
            self.tokens[key] = self.tokens.get(key, 0) + 1
            if self.tokens[key] > 1:
                self._complain("I5", "duplicated", f"{address} was sent twice under one lease")
        self._note(f"provider reads {address} (token {send.token}): {send.said.status}")
        self.read.append(send)

    def _answer(self, sends: Sequence[Send]) -> None:
        for send in sends:
            if send.worker.alive and not send.answer.done() and send.said is not None:
                send.answer.set_result(send.said)
        for worker in self.workers:
            if worker.runs:
                worker.loop.turn()

    def _some(self, of: list[_T]) -> list[_T]:
        """Take up to `breadth` of them away, any ones."""
        count = min(self.rng.randint(1, self.breadth), len(of))
        return [of.pop(self.rng.randrange(len(of))) for _ in range(count)]

    def _draw_outcome(self) -> Outcome | None:
        return self.rng.choices(
            [
                None,
                temporary(503, "failing"),
                throttled(429, "busy", retry_after=1.0),
                permanent(400, "no", fault=Fault.MESSAGE),
            ],
            [12, self.failing, 1, 1],
        )[0]

    def _endanger(self, process: Process, *, commits: int) -> None:
        """Sometimes the next commits of a process are in danger."""
        draw = self.rng.random()
        if draw > 0.12:
            return
        number = self.rng.randrange(commits)
        process.wire.then = Killed if draw < 0.06 else _gone
        if self.rng.random() < 0.5:
            process.wire.before = number
        else:
            process.wire.after = number

    def _perform(self, worker: Process, call: Pending) -> None:
        """Let a call through. Its result is heard at once; what may happen in between happens at
        the wire."""
        try:
            result = call.run()
        except Killed:
            self.faults += 1
            self._kill(worker)
            return
        except OperationalError as error:
            self.faults += 1
            call.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - its caller's affair, as in a thread
            call.future.set_exception(error)
        else:
            self._note_claims(worker, result)
            call.future.set_result(result)
        worker.wire.clear()
        if worker.runs:
            worker.loop.turn()

    def _note_claims(self, worker: Process, result: Any) -> None:
        for one in result if isinstance(result, Sequence) else ():
            if isinstance(one, store.Claimed):
                worker.claims[str(one.id), one.attempt] = one.lease_token, self.ticks
                self.newest[one.id] = max(one.lease_token, self.newest.get(one.id, 0))
                self._note(f"worker {worker.number} claims {one.address} (token {one.lease_token})")

    def _kill(self, worker: Process) -> None:
        self.faults += 1
        self._note(f"worker {worker.number} is killed")
        # What was at the gate may have reached the database, with nobody to hear of it.
        for call in worker.gate.calls:
            if self.rng.random() < 0.3:
                worker.wire.clear()
                with contextlib.suppress(Exception):
                    self._note_claims(worker, call.run())
        self._replace(worker)

    def _replace(self, worker: Process) -> None:
        worker.end(self.site)
        self.workers[self.workers.index(worker)] = Process(self, worker.number)

    def _turn_until_idle(self, worker: Process) -> None:
        for _ in range(100):
            worker.loop.turn()
            if not asyncio.all_tasks(worker.loop):
                return
            if worker.gate.calls:
                self._perform(worker, worker.gate.calls.pop(0))
            elif self.unread and self.rng.random() < 0.5:
                self.provider_reads()
            elif self.read:
                self._answer([self.read.pop(0)])
            else:
                self._pass(1.0)
            if not worker.alive:
                return

    def _pass(self, seconds: float) -> None:
        self.ticks += seconds
        self.clock.move(seconds)
        for worker in self.workers:
            if worker.runs:
                worker.loop.turn()

    def _open(self) -> int:
        with self.control.reading() as connection:
            return connection.execute(
                text("SELECT count(*) FROM message_result WHERE state <> 'DONE'")
            ).scalar_one()

    def _states(self, ids: Collection[UUID]) -> Sequence[Any]:
        if not ids:
            return ()
        row = tables.message_result.c
        with self.control.reading() as connection:
            return connection.execute(
                select(row.id, row.state, row.delivery_status)
                .where(row.id.in_(ids))
                .order_by(row.id)
            ).all()

    def _next_due(self) -> float:
        """The seconds until something is to be done for a row."""
        row = tables.message_result.c
        with self.control.reading() as connection:
            soonest = connection.execute(
                select(
                    func.min(func.coalesce(row.lease_until, row.ring_at), type_=tables.Utc)
                ).where(row.state != store.State.DONE)
            ).scalar()
        return 0.0 if soonest is None else (soonest - self.clock()).total_seconds()

    def _check_step(self) -> None:
        """What must hold at every moment, not only in the end."""
        if self.complaints:
            return
        with self.control.reading() as connection:
            found = connection.execute(
                text(
                    "SELECT max(number), max(old_state = 'DONE'), max(old_state = 'SENDING' "
                    "AND state = 'SENDING' AND token <> old_token) "
                    "FROM witness WHERE number > :seen"
                ),
                {"seen": self.witnessed},
            ).one()
        self.witnessed = found[0] or self.witnessed
        if any(found[1:]):
            self._complain("I9", "unfenced", "a row was changed that was settled or held")
        if self.broker.overfull:
            many = f"{self.broker.overfull} rings of a queue waited at once"
            self._complain("I12", "unbounded", many)

    def _complain(self, invariant: str, word: str, what: str) -> None:
        self.complaints.append((invariant, word, what))

    def _look(self, where: str, words: str) -> None:
        self.leaks |= {f"{where}: {found}" for found in self.private.findall(words)}

    def _note(self, what: str) -> None:
        self.history.append(f"{self.ticks - 1000:7.2f}  {what}")

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """What is logged is heard here, and nowhere else."""
        listener = Listener(lambda words: self._look("log", words))
        with contextlib.ExitStack() as stack:
            for logger in map(logging.getLogger, _LOGGERS):
                stack.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.INFO)
                stack.enter_context(_patched(logger, "handlers", [listener]))
                stack.enter_context(_patched(logger, "propagate", False))
            yield

    @contextlib.contextmanager
    def _time(self) -> Iterator[None]:
        """The workers' monotonic clock is the simulation's, and it looks at what they record."""
        virtual = types.SimpleNamespace(
            **{name: getattr(time, name) for name in dir(time) if not name.startswith("__")}
        )
        virtual.monotonic = self.monotonic
        finish = store.finish

        def watched(db: store.Database, finishes: Sequence[store.Finish]) -> list[bool]:
            old = {one.id for one in finishes if one.lease_token < self.newest.get(one.id, 0)}
            late = old - {one.id for one in finishes if one.lease_token == self.newest.get(one.id)}
            before = self._states(late)
            recorded = finish(db, finishes)
            if self._states(late) != before:
                self._complain("I8", "unfenced", f"{late} were recorded under an old lease")
            return recorded

        with contextlib.ExitStack() as stack:
            stack.enter_context(_patched(store, "finish", watched))
            for name, module in list(sys.modules.items()):
                if name.startswith("worker.") and getattr(module, "time", None) is time:
                    stack.enter_context(_patched(module, "time", virtual))
            yield


def simulate(site: Site, seed: int, **options: int) -> Result:
    """Run one seed from an empty database."""
    site.clear()
    return Simulation(site, seed, **options).run()


def _request(channels: dict[str, str]) -> dict[str, Any]:
    return {
        "MessageConfiguration": {"DefaultMessage": {"Body": _BODY}},
        "Addresses": {address: {"ChannelType": channel} for address, channel in channels.items()},
    }


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
