"""What a caller waits for until its recipients are accepted: stored, and rung for.

`python -m benchmarks.intake` asks for 1, 10 and 100 recipients, one call after the other: Sendpoint
as a function and over HTTP (an API process, kept connections, no wait for outcomes), and a plain
Celery service as a function; and over HTTP by many callers at once, for one recipient each. Nothing
else runs; what was rung for is thrown away after every call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
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
import uvloop

from benchmarks import deployment, running, surroundings
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.plain import PlainCelery
from benchmarks.surroundings import Servers
from worker import plan

NAME = "intake"

SIZES = (1, 10, 100)
FUNCTION, HTTP, CELERY = "function call", "HTTP", "plain Celery, function call"
CALLERS = 16
TOGETHER = f"HTTP, {CALLERS} callers at once"

_CHANNEL = "GCM"
_LEAST = 20  # calls of a round

Accept = Callable[[int, int], None]
"""Takes the number of the first recipient, and how many there are."""

Calls = list[float]
"""The milliseconds of each call."""


@dataclass(frozen=True)
class Round:
    """What one round measured: calls a second, milliseconds of a call, microseconds of CPU of
    everything for a recipient, MiB of the API's process (this one holds more than who accepts)."""

    way: str
    recipients: int
    per_second: float
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
        ours.serving() as (process, url),
        _over_http(ours, url) as post,
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
                    _one_by_one(accept, quiet, size, 0.0)  # to come up
                    calls = functools.partial(_one_by_one, accept, quiet, size, options.seconds)
                    rounds.append(_round(servers, accepting, way, size, calls))
            running.say(f"round {number + 1}, {TOGETHER}")
            _together(ours, url, options.seconds / 4)
            calls = functools.partial(_together, ours, url, options.seconds)
            rounds.append(_round(servers, process, TOGETHER, 1, calls))
            quiet()
            ours.forget()
            celery_service.forget()
    return {"rounds": [asdict(one) for one in rounds]}


def _round(
    servers: Servers, accepting: psutil.Process, way: str, size: int, calls: Callable[[], Calls]
) -> Round:
    groups = {name: [one] for name, one in servers.processes().items()}
    gauge = Gauge(groups | {"accept": list({psutil.Process(), accepting})})
    begun = time.perf_counter()
    times = calls()
    took = time.perf_counter() - begun
    return Round(
        way=way,
        recipients=size,
        per_second=len(times) / took,
        p50=statistics.median(times),
        p99=running.percentile(times, 0.99),
        all_cpu=sum(gauge.cpu().values()) / (len(times) * size) * 1e6,
        memory=None if accepting == psutil.Process() else peak_memory([accepting]),
    )


def _one_by_one(accept: Accept, quiet: Callable[[], None], size: int, seconds: float) -> Calls:
    numbers = itertools.count(0, size)
    times: list[float] = []
    give_up = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < give_up:
        started = time.perf_counter()
        accept(next(numbers), size)
        times.append((time.perf_counter() - started) * 1000)
        quiet()
    return times


def _together(ours: Deployment, url: str, seconds: float) -> Calls:
    """Callers for one recipient each, who call again once they are answered."""
    parts = urlsplit(url)
    numbers = itertools.count()
    times: list[float] = []

    async def call_again_and_again(give_up: float) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.perf_counter() < give_up:
            body = json.dumps(deployment.request(_CHANNEL, next(numbers), 1))
            head = (
                f"POST {_path(ours)} HTTP/1.1\r\nHost: api\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write((head + body).encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            told = await reader.readexactly(length)
            if not answer.startswith(b"http/1.1 200 "):
                raise RuntimeError(told.decode())
            times.append((time.perf_counter() - started) * 1000)
        writer.close()

    async def all_of_them() -> None:
        give_up = time.perf_counter() + seconds
        await asyncio.gather(*(call_again_and_again(give_up) for _ in range(CALLERS)))

    uvloop.run(all_of_them())
    return times


def _path(ours: Deployment) -> str:
    return f"/v1/apps/{ours.application}/messages"


@contextlib.contextmanager
def _over_http(ours: Deployment, url: str) -> Iterator[Accept]:
    """What posts to the API, over a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {"Content-Type": "application/json"}

    def post(first: int, count: int) -> None:
        body = json.dumps(deployment.request(_CHANNEL, first, count))
        connection.request("POST", _path(ours), body, headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {told.decode()}")

    with contextlib.closing(connection):
        yield post


def table(figures: running.Figures) -> str:
    rounds = figures["rounds"]
    rows = []
    for way in (FUNCTION, HTTP, TOGETHER, CELERY):
        for size in SIZES if way != TOGETHER else SIZES[:1]:
            names = ["per_second", "p50", "p99", "all_cpu"] + ["memory"] * ("HTTP" in way)
            found = [running.middle(rounds, one, way=way, recipients=size) for one in names]
            theirs = running.middle(rounds, "per_second", way=CELERY, recipients=size)
            ratio = found[0] / theirs if theirs and found[0] and way != CELERY else None
            rows.append([way, str(size), ratio, *found, *[None] * (5 - len(found))])
    head = ["way", "recipients", "times plain Celery", "calls/s", "p50 (ms)", "p99 (ms)"]
    head += ["CPU of everything for a recipient (µs)", "memory (MiB)"]
    return f"Accepting recipients\n\n{running.markdown(head, rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
