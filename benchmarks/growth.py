"""Whether Sendpoint slows down as its tables grow, and with a backlog in front.

`python -m benchmarks.growth` fills three databases with 10³, 10⁵ and 10⁶ delivered rows (by SQL,
copies of what a delivery leaves) and lets them take turns with one worker process: throughput, then
the way of messages that come seldom. Then 100,000 messages of one application wait, and another
application's messages come seldom: what goes through, how long the others take, how long the queue
in Redis gets.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import psycopg
import redis
from psycopg import sql

from benchmarks import contenders, latency, running, surroundings
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.latency import CHANNEL
from benchmarks.surroundings import Servers
from worker import plan

NAME = "growth"

SIZES = (1_000, 100_000, 1_000_000)
BACKLOG = 100_000

_SELDOM = 20.0  # messages a second
_REQUEST = 100  # recipients
_UUID = "('01900000-0000-7000-{}-' || lpad(to_hex({}), 12, '0'))::uuid"
DELIVERED = "stored {:,}"
_WAITING = "stored 1,000, and {:,} wait"


@dataclass(frozen=True)
class Round:
    """What one round measured: CPU of everything in microseconds of a delivery, memory of the
    worker in MiB, milliseconds from when a message that comes seldom is due to the provider, the
    longest that a queue was in Redis."""

    situation: str
    per_second: float
    all_cpu: float
    memory: float
    due_p50: float
    due_p99: float
    queue: int


def fill(ours: Deployment, count: int, *, waiting_for: str | None = None) -> None:
    """Store as many rows more, with their requests, as `count` deliveries leave; or, of an
    application, as many as wait to be delivered. There must be one delivery to copy."""
    postgres = ours.postgres
    made: dict[str, str] = {
        # As intake makes them: what comes later sorts behind.
        "id": _UUID.format("8000", "n"),
        "request_id": _UUID.format("9000", f"n / {_REQUEST}"),
        "position": f"n % {_REQUEST}",
        "address": "'token-' || n",
    }
    if waiting_for is not None:
        made |= dict.fromkeys(("due_at", "ring_at", "created_at", "updated_at"), "now()")
        made |= dict.fromkeys(("delivery_status", "status_code", "status_message"), "NULL")
        made |= dict.fromkeys(("message_id", "provider", "lease_until"), "NULL")
        made |= dict.fromkeys(("attempt", "lease_token"), "0")
        made |= {"expires_at": "now() + interval '1 day'", "state": "'QUEUED'"}
        made |= {"application_id": f"'{waiting_for}'"}
    found = postgres.execute("SELECT count(*) FROM message_result").fetchone()
    assert found is not None
    numbers = range(found[0], found[0] + count)
    _copies(postgres, "message_result", made, numbers)
    requests = {name: made[name] for name in ("request_id", "application_id") if name in made}
    _copies(postgres, "message_request", requests, numbers[::_REQUEST])
    postgres.execute("VACUUM ANALYZE message_result, message_request")


def _copies(
    postgres: psycopg.Connection, table: str, made: Mapping[str, str], numbers: range
) -> None:
    """Copies of a table's first row, one for each number `n`, with these columns made anew."""
    columns = [
        name
        for (name,) in postgres.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,)
        )
    ]
    postgres.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM "
            "(SELECT * FROM {table} LIMIT 1) AS one, generate_series({first}, {last}, {step}) AS n"
        ).format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(
                sql.SQL(made[name]) if name in made else sql.Identifier("one", name)
                for name in columns
            ),
            first=numbers.start,
            last=numbers.stop - 1,
            step=numbers.step,
        )
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="ROWS")
    parser.add_argument("--backlog", type=int, default=BACKLOG, metavar="MESSAGES")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    running.bounds(parser, rounds=3, budget=65)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with surroundings.all_servers() as servers, contextlib.ExitStack() as stack:
        grown = {}
        for number, size in enumerate(options.sizes):
            running.say(f"filling a database with {size:,} rows")
            ours = Deployment(servers, f"grown_{size}", redis_database=number)
            stack.enter_context(contextlib.closing(ours))
            with ours.running(1):
                contenders.drive(ours, servers.sinks, CHANNEL)
            fill(ours, size - _REQUEST)
            grown[DELIVERED.format(size)] = ours
            ours.postgres.execute("CHECKPOINT")
        for number in running.turns(options):
            for situation, ours in grown.items():
                running.say(f"round {number + 1}, {situation}")
                rounds.append(_round(servers, ours, situation, options.seconds))
        if options.backlog:
            running.say(f"{options.backlog:,} messages wait")
            smallest = next(iter(grown.values()))
            rounds.append(_with_backlog(servers, smallest, options.backlog, options.seconds))
    return {"rounds": [asdict(one) for one in rounds]}


def _round(servers: Servers, ours: Deployment, situation: str, seconds: float) -> Round:
    with ours.running(1):
        warm = contenders.drive(ours, servers.sinks, CHANNEL, seconds=seconds / 4)
        gauge = _gauge(servers, ours)
        with _longest_queue(ours) as longest:
            run = contenders.drive(
                ours, servers.sinks, CHANNEL, seconds=seconds, ahead=warm.per_second
            )
        cpu = sum(gauge.cpu().values()) / run.deliveries * 1e6
        seen = latency.observe(ours, servers.sinks, first=0, rate=_SELDOM, seconds=seconds, size=1)
        contenders.settle(ours)
        return Round(
            situation=situation,
            per_second=run.per_second,
            all_cpu=cpu,
            memory=peak_memory(ours.workers),
            due_p50=running.percentile(seen.since_due, 0.5),
            due_p99=running.percentile(seen.since_due, 0.99),
            queue=longest[0],
        )


def _with_backlog(servers: Servers, ours: Deployment, backlog: int, seconds: float) -> Round:
    """For as long as it waits, or twice the seconds: what is left of it then is dropped."""
    fill(ours, backlog, waiting_for=ours.new_application("bulk"))
    before = servers.sinks.counts()[CHANNEL]
    with ours.running(1), _longest_queue(ours) as longest:
        while servers.sinks.counts()[CHANNEL] < before + _REQUEST:
            time.sleep(0.01)
        gauge = _gauge(servers, ours)
        taken, started = servers.sinks.counts()[CHANNEL], time.perf_counter()
        seen = latency.observe(
            ours, servers.sinks, first=10**9, rate=_SELDOM, seconds=2 * seconds, size=1
        )
        taken = servers.sinks.counts()[CHANNEL] - taken
        took = time.perf_counter() - started
        return Round(
            situation=_WAITING.format(backlog),
            per_second=taken / took,
            all_cpu=sum(gauge.cpu().values()) / taken * 1e6,
            memory=peak_memory(ours.workers),
            due_p50=running.percentile(seen.since_due, 0.5),
            due_p99=running.percentile(seen.since_due, 0.99),
            queue=longest[0],
        )


def _gauge(servers: Servers, ours: Deployment) -> Gauge:
    groups = {name: [process] for name, process in servers.processes().items()}
    return Gauge(groups | {"worker": ours.workers, "accept": ours.accepting})


@contextlib.contextmanager
def _longest_queue(ours: Deployment) -> Iterator[list[int]]:
    """A list of one number: how many rings waited on a queue at most, as often looked."""
    longest = [0]
    over = threading.Event()

    def look() -> None:
        with redis.Redis.from_url(ours.settings.broker_url) as broker:
            while not over.wait(0.02):
                longest[0] = max(longest[0], *(broker.llen(name) for name in plan.QUEUES))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield longest
    finally:
        over.set()
        thread.join(10)


def table(figures: running.Figures) -> str:
    rounds = figures["rounds"]
    situations = list(dict.fromkeys(one["situation"] for one in rounds))
    least = running.middle(rounds, "per_second", situation=situations[0])
    names = ("per_second", "all_cpu", "memory", "due_p50", "due_p99", "queue")
    rows = []
    for situation in situations:
        found = [running.middle(rounds, name, situation=situation) for name in names]
        rows.append([situation, found[0] / least if found[0] and least else None, *found])
    head = ["rows", "of the first", "deliveries/s", "CPU of everything for one (µs)"]
    head += ["memory of the worker (MiB)", "due → provider, p50 (ms)", "p99 (ms)"]
    head += ["longest queue in Redis"]
    return f"One worker process as tables grow\n\n{running.markdown(head, rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
