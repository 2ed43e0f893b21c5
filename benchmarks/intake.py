"""What a caller waits for until its recipients are accepted: stored, and rung for.

`python -m benchmarks.intake` asks for 1, 10 and 100 recipients, one call after the other: Sendpoint
as a function and over HTTP (an API process, a kept connection, no wait for outcomes), and a plain
Celery service as a function. Nothing else runs; what was rung for is thrown away after every call.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import psutil
import redis

from benchmarks import deployment, running, surroundings
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.plain import PlainCelery
from benchmarks.surroundings import Servers
from worker import plan

NAME = "intake"

SIZES = (1, 10, 100)
FUNCTION, HTTP, CELERY = "function call", "HTTP", "plain Celery, function call"

_CHANNEL = "GCM"
_LEAST = 20  # calls of a round

Accept = Callable[[int, int], None]
"""Takes the number of the first recipient, and how many there are."""


@dataclass(frozen=True)
class Round:
    """What one round measured: milliseconds of a call, microseconds of CPU of everything for a
    recipient, MiB of the API's process (this one holds more than who accepts)."""

    way: str
    recipients: int
    calls: int
    p50: float
    p99: float
    all_cpu: float
    memory: float | None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=0.8, help="of calls with one number")
    running.bounds(parser, rounds=3, budget=40)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with (
        surroundings.all_servers() as servers,
        contextlib.closing(Deployment(servers, "intake")) as ours,
        contextlib.closing(PlainCelery(servers)) as celery_service,
        redis.Redis.from_url(f"{servers.redis.url}/0") as our_rings,
        redis.Redis.from_url(f"{servers.redis.url}/1") as plain_tasks,
        _over_http(ours) as (process, post),
    ):

        def function(first: int, count: int) -> None:
            ours.accept(_CHANNEL, first, count)

        def celery(first: int, count: int) -> None:
            celery_service.accept(_CHANNEL, first, count)

        def quiet() -> None:
            our_rings.delete(*plan.QUEUES)
            plain_tasks.delete("celery")

        here = psutil.Process()
        ways: dict[str, tuple[psutil.Process, Accept]] = {
            FUNCTION: (here, function),
            HTTP: (process, post),
            CELERY: (here, celery),
        }
        for number in running.turns(options):
            for size in SIZES:
                for way, (accepting, accept) in ways.items():
                    running.say(f"round {number + 1}, {way}, {size} recipients")
                    measured = _round(servers, accepting, accept, quiet, size, options.seconds)
                    rounds.append(Round(way, size, *measured))
            ours.forget()
            celery_service.forget()
    return {"rounds": [asdict(one) for one in rounds]}


def _round(
    servers: Servers,
    accepting: psutil.Process,
    accept: Accept,
    quiet: Callable[[], None],
    size: int,
    seconds: float,
) -> tuple[int, float, float, float, float | None]:
    numbers = itertools.count(0, size)
    for _ in range(3):
        accept(next(numbers), size)
    groups = {name: [one] for name, one in servers.processes().items()}
    gauge = Gauge(groups | {"accept": list({psutil.Process(), accepting})})
    times: list[float] = []
    give_up = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < give_up:
        started = time.perf_counter()
        accept(next(numbers), size)
        times.append((time.perf_counter() - started) * 1000)
        quiet()
    cpu = sum(gauge.cpu().values()) / (len(times) * size) * 1e6
    p99 = running.percentile(times, 0.99)
    memory = None if accepting == psutil.Process() else peak_memory([accepting])
    return len(times), statistics.median(times), p99, cpu, memory


@contextlib.contextmanager
def _over_http(ours: Deployment) -> Iterator[tuple[psutil.Process, Accept]]:
    """The API process, and what posts to it."""
    with ours.serving() as (process, url):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        path = f"/v1/apps/{ours.application}/messages"
        headers = {"Content-Type": "application/json"}

        def post(first: int, count: int) -> None:
            body = json.dumps(deployment.request(_CHANNEL, first, count))
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {told.decode()}")

        with contextlib.closing(connection):
            yield process, post


def table(figures: running.Figures) -> str:
    rounds = figures["rounds"]
    rows = []
    for way in (FUNCTION, HTTP, CELERY):
        for size in SIZES:
            names = ["p50", "p99", "all_cpu"] + ["memory"] * (way == HTTP)
            found = [running.middle(rounds, one, way=way, recipients=size) for one in names]
            theirs = running.middle(rounds, "p50", way=CELERY, recipients=size)
            ratio = theirs / found[0] if theirs and found[0] and way != CELERY else None
            rows.append([way, str(size), ratio, *found, *[None] * (4 - len(found))])
    head = ["way", "recipients", "faster than plain Celery", "p50 (ms)", "p99 (ms)"]
    head += ["CPU of everything for a recipient (µs)", "memory (MiB)"]
    return f"Accepting recipients\n\n{running.markdown(head, rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
