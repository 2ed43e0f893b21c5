"""How long a message takes from its acceptance to the provider, at several loads.

`python -m benchmarks.latency` first measures the full load that one worker process and an accepting
process take together, with requests of 50 recipients, so that accepting is not what limits it; then
it has requests come at 1 % of that (of one recipient), at 50 % and at 90 % (of 50, which arrive as
a bunch, and whose last waits for the others). They come when they are due (a Poisson process),
whether or not earlier ones were answered, so a wait is not hidden by those that were not made
because of it. The provider notes when each message reached it; the clock is the machine's, and the
same for all.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from benchmarks import contenders, messages, running, surroundings
from benchmarks.contenders import Contender
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.surroundings import Servers, Sinks

NAME = "latency"

SIZE = 50
LOADS = {0.01: 1, 0.5: SIZE, 0.9: SIZE}
"""The recipients of a request, by load."""

CHANNEL = "GCM"  # whose provider notes arrivals
_ACCEPTING = 16  # calls at a time, at most
_PATIENCE = 60.0  # seconds for the last message to arrive


@dataclass(frozen=True)
class Observed:
    """Milliseconds of each message to its provider: from when its request was due, and from when
    it was accepted. `per_second` is what came through."""

    since_due: Sequence[float]
    since_accepted: Sequence[float]
    per_second: float


@dataclass(frozen=True)
class Round:
    """What one round measured, in milliseconds; CPU of everything in microseconds of a delivery,
    memory of the worker in MiB."""

    load: float
    per_second: float
    accepted_p50: float
    accepted_p99: float
    due_p50: float
    due_p99: float
    all_cpu: float
    memory: float


def observe(
    contender: Contender,
    sinks: Sinks,
    *,
    first: int,
    rate: float,
    seconds: float,
    size: int,
    seed: int = 0,
) -> Observed:
    """Have requests come for so many seconds, `rate` recipients a second, the first of this number,
    and wait until all have reached the provider. Raises if not all do."""
    due = _arrivals(rate / size, seconds, random.Random(seed))
    sinks.arrivals()
    begun = time.monotonic() + 0.05
    returned: list[float] = [0.0] * len(due)

    def accept(index: int) -> None:
        contender.accept(CHANNEL, first + index * size, size)
        returned[index] = time.monotonic()

    with ThreadPoolExecutor(_ACCEPTING) as threads:
        calls = []
        for index, at in enumerate(due):
            time.sleep(max(0.0, begun + at - time.monotonic()))
            calls.append(threads.submit(accept, index))
        for call in calls:
            call.result()
    numbers = range(first, first + len(due) * size)
    arrived = _wait(sinks, {messages.address(CHANNEL, number) for number in numbers})
    since_due, since_accepted = [], []
    for position, number in enumerate(numbers):
        came = arrived[messages.address(CHANNEL, number)]
        since_due.append((came - begun - due[position // size]) * 1000)
        since_accepted.append(max(0.0, came - returned[position // size]) * 1000)
    took = max(seconds, max(arrived.values()) - begun)
    return Observed(since_due, since_accepted, len(since_due) / took)


def _arrivals(rate: float, seconds: float, rng: random.Random) -> list[float]:
    """When requests come, in seconds from the start: at least one."""
    times = itertools.accumulate(rng.expovariate(rate) for _ in itertools.count())
    found = list(itertools.takewhile(lambda at: at < seconds, times))
    return found or [0.0]


def _wait(sinks: Sinks, wanted: AbstractSet[str]) -> Mapping[str, float]:
    """When each of these addresses' messages came to the provider."""
    arrived: dict[str, float] = {}
    give_up = time.monotonic() + _PATIENCE
    while missing := wanted - arrived.keys():
        if time.monotonic() > give_up:
            raise RuntimeError(f"{len(missing)} messages did not reach the provider")
        time.sleep(0.02)
        arrived |= {at: when for at, when in sinks.arrivals().items() if at in missing}
    return arrived


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=4.0, help="of a load's round")
    running.bounds(parser, rounds=3, budget=55)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with (
        surroundings.all_servers() as servers,
        contextlib.closing(Deployment(servers, "latency")) as ours,
        ours.running(1),
    ):
        contenders.drive(ours, servers.sinks, CHANNEL)
        running.say("the full load")
        full = _full(ours, servers.sinks, options.seconds)
        for number in running.turns(options):
            for load in LOADS:
                running.say(f"round {number + 1}, {load:.0%} of {full:,.0f} a second")
                rounds.append(_round(servers, ours, load, full, options.seconds, number))
                ours.forget()
    return {"full": full, "rounds": [asdict(one) for one in rounds]}


def _full(ours: Deployment, sinks: Sinks, seconds: float) -> float:
    """The recipients a second that go through when there are always more to come."""
    warm = contenders.drive(ours, sinks, CHANNEL, seconds=seconds / 4, batch=SIZE)
    run = contenders.drive(
        ours, sinks, CHANNEL, seconds=seconds / 2, ahead=warm.per_second / 2, batch=SIZE
    )
    ours.forget()
    return run.per_second


def _round(
    servers: Servers, ours: Deployment, load: float, full: float, seconds: float, number: int
) -> Round:
    groups = {name: [process] for name, process in servers.processes().items()}
    gauge = Gauge(groups | {"worker": ours.workers, "accept": ours.accepting})
    seen = observe(
        ours,
        servers.sinks,
        first=0,
        rate=load * full,
        seconds=seconds,
        size=LOADS[load],
        seed=number,
    )
    contenders.settle(ours)
    spent = sum(gauge.cpu().values())
    return Round(
        load=load,
        per_second=seen.per_second,
        accepted_p50=running.percentile(seen.since_accepted, 0.5),
        accepted_p99=running.percentile(seen.since_accepted, 0.99),
        due_p50=running.percentile(seen.since_due, 0.5),
        due_p99=running.percentile(seen.since_due, 0.99),
        all_cpu=spent / len(seen.since_due) * 1e6,
        memory=peak_memory(ours.workers),
    )


def table(figures: running.Figures) -> str:
    names = ("per_second", "accepted_p50", "accepted_p99", "due_p50", "due_p99", "all_cpu")
    rows = [
        [
            f"{load:.0%}",
            str(LOADS[load]),
            *(running.middle(figures["rounds"], name, load=load) for name in (*names, "memory")),
        ]
        for load in LOADS
    ]
    head = [
        "load",
        "recipients a request",
        "deliveries/s",
        "accepted → provider, p50 (ms)",
        "p99 (ms)",
    ]
    head += ["due → provider, p50 (ms)", "p99 (ms)", "CPU of everything for one (µs)"]
    title = (
        f"From acceptance to the provider, one worker process; "
        f"full load is {figures['full']:,.0f} deliveries a second"
    )
    return f"{title}\n\n{running.markdown([*head, 'memory of the worker (MiB)'], rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
