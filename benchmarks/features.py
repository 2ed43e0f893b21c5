"""What limits and event streams cost a delivery.

`python -m benchmarks.features` has two worker processes deliver pushes with nothing of the kind,
with an application that has three limits (none of which it reaches), and with these and an event
stream into Redis, in turns. The CPU is taken once every event is told.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks import contenders, running, surroundings
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.surroundings import Servers
from worker import limits, store

NAME = "features"

NOTHING, LIMITS, EVENTS = "nothing", "limits", "limits and events"

_CHANNEL = "GCM"
_WORKERS = 2
_LIMITS = {"all": "50000/s", "GCM": "40000/s", "recipient": "1000/d"}
_STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/bench"
_ROLE = "arn:aws:iam::123456789012:role/bench"
_TELLING = 60.0  # seconds for the last event to be told


@dataclass(frozen=True)
class Round:
    """What one round measured: CPU in microseconds of a delivery, memory in MiB of all workers."""

    features: str
    per_second: float
    worker_cpu: float
    all_cpu: float
    memory: float


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    running.bounds(parser, rounds=2, budget=40)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with surroundings.all_servers() as servers, contextlib.ExitStack() as stack:
        having = {}
        for number, features in enumerate((NOTHING, LIMITS, EVENTS)):
            sink = f"{servers.redis.url}/9" if features == EVENTS else ""
            ours = Deployment(servers, f"features_{number}", redis_database=number, events=sink)
            having[features] = stack.enter_context(contextlib.closing(ours))
            if features != NOTHING:
                _limit(ours)
            if features == EVENTS:
                store.put_event_stream(
                    ours.runtime.db, ours.application, destination=_STREAM, role=_ROLE, by=None
                )
        for number in running.turns(options):
            for features, ours in having.items():
                running.say(f"round {number + 1}, with {features}")
                rounds.append(_round(servers, ours, features, options.seconds))
    return {"rounds": [asdict(one) for one in rounds]}


def _limit(ours: Deployment) -> None:
    for what, text in _LIMITS.items():
        rate = limits.rate(text)
        burst = limits.default_burst(what, rate)
        store.set_limit(ours.runtime.db, ours.application, what, rate, burst)


def _round(servers: Servers, ours: Deployment, features: str, seconds: float) -> Round:
    with ours.running(_WORKERS):
        ours.forget()
        contenders.drive(ours, servers.sinks, _CHANNEL)  # to come up
        warm = contenders.drive(ours, servers.sinks, _CHANNEL, seconds=seconds / 2)
        _until_told(ours)
        groups = {name: [process] for name, process in servers.processes().items()}
        gauge = Gauge(groups | {"worker": ours.workers, "accept": ours.accepting})
        run = contenders.drive(
            ours, servers.sinks, _CHANNEL, seconds=seconds, ahead=warm.per_second
        )
        _until_told(ours)
        cpu = gauge.cpu()
        return Round(
            features=features,
            per_second=run.per_second,
            worker_cpu=cpu["worker"] / run.deliveries * 1e6,
            all_cpu=sum(cpu.values()) / run.deliveries * 1e6,
            memory=peak_memory(ours.workers),
        )


def _until_told(ours: Deployment) -> None:
    give_up = time.monotonic() + _TELLING
    while ours.postgres.execute("SELECT EXISTS (SELECT FROM event)").fetchone() != (False,):
        if time.monotonic() > give_up:
            raise RuntimeError("not all events are told")
        time.sleep(0.05)


def table(figures: running.Figures) -> str:
    rounds = figures["rounds"]
    bare = running.middle(rounds, "per_second", features=NOTHING)
    rows = []
    for features in (NOTHING, LIMITS, EVENTS):
        found = [
            running.middle(rounds, name, features=features)
            for name in ("per_second", "worker_cpu", "all_cpu", "memory")
        ]
        rows.append([features, found[0] / bare if found[0] and bare else None, *found])
    head = ["with", "of the first", "deliveries/s", "CPU of the workers for one (µs)"]
    head += ["CPU of everything (µs)", "memory of the workers (MiB)"]
    title = f"{_CHANNEL} with {_WORKERS} worker processes, with limits and event streams"
    return f"{title}\n\n{running.markdown(head, rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
