"""Whole deliveries, accepted to result stored, of Sendpoint and of what people write instead.

`python -m benchmarks.end_to_end` lets them take turns on one PostgreSQL, one Redis and the same
providers (`benchmarks.sinks`), all on this machine: Sendpoint with one and with two worker
processes, a plain Celery service (`benchmarks.plain_celery`) with two, and BullMQ with two where
node is there (`benchmarks.bullmq`). Every recipient's text is rendered for them, every result is a
row, PostgreSQL waits for the disk at every commit. What the providers took is held against what was
accepted.

`--profile FILE` has py-spy watch the one worker process meanwhile: `….svg` is a flame graph; into
another file go the stacks as text, and the functions where the time went are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import bullmq, contenders, profiling, running, surroundings
from benchmarks.bullmq import BullMq
from benchmarks.contenders import BATCH, CHANNELS, Contender
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.plain import PlainCelery
from benchmarks.surroundings import Servers

NAME = "end_to_end"

SENDPOINT_1, SENDPOINT_2 = "Sendpoint, 1 process", "Sendpoint, 2 processes"
CELERY, BULLMQ = "plain Celery, prefork 2", "BullMQ, 2 processes"


@dataclass(frozen=True)
class Round:
    """What one round measured. CPU is in microseconds of a delivery, memory in MiB of all worker
    processes together, accepting 100 recipients in milliseconds."""

    contender: str
    channel: str
    deliveries: int
    per_second: float
    worker_cpu: float
    accept_cpu: float
    postgresql_cpu: float
    redis_cpu: float
    providers_cpu: float
    all_cpu: float
    memory: float
    accept_p50: float


Start = Callable[[], AbstractContextManager[Contender]]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channels", nargs="+", default=CHANNELS, choices=CHANNELS)
    running.bounds(parser, rounds=3, budget=215)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a channel's round")
    parser.add_argument("--warm", type=float, default=0.8, help="seconds before that")
    parser.add_argument("--without", nargs="+", default=(), choices=("1", "2", "celery", "bullmq"))
    parser.add_argument("--profile", metavar="FILE", help="watch the one worker process")


def measure(options: argparse.Namespace) -> running.Figures:
    rounds: list[Round] = []
    missing: dict[str, str] = {}
    with surroundings.all_servers() as servers, ExitStack() as stack:
        entrants = _entrants(servers, stack, options.without, missing)
        for number in running.turns(options):
            for name, start in entrants.items():
                with start() as contender:
                    contender.forget()
                    contenders.drive(contender, servers.sinks, options.channels[0])  # to come up
                    for channel in options.channels:
                        running.say(f"round {number + 1}, {name}, {channel}")
                        rounds.append(_round(servers, name, contender, channel, options))
    return {"rounds": [asdict(one) for one in rounds], "missing": missing}


def _entrants(
    servers: Servers, stack: ExitStack, without: Sequence[str], missing: dict[str, str]
) -> dict[str, Start]:
    """Those that take turns; into `missing` goes why one cannot."""
    entrants: dict[str, Start] = {}
    ours = stack.enter_context(contextlib.closing(Deployment(servers, "sendpoint")))
    if "1" not in without:
        entrants[SENDPOINT_1] = lambda: ours.running(1)
    if "2" not in without:
        entrants[SENDPOINT_2] = lambda: ours.running(2)
    if "celery" not in without:
        plain = stack.enter_context(contextlib.closing(PlainCelery(servers)))
        entrants[CELERY] = lambda: plain.running(2)
    if "bullmq" not in without:
        try:
            peer = stack.enter_context(contextlib.closing(BullMq(servers)))
        except bullmq.Missing as reason:
            missing[BULLMQ] = str(reason)
            running.say(f"without {BULLMQ}: {reason}")
        else:
            entrants[BULLMQ] = lambda: peer.running(2)
    return entrants


def _round(
    servers: Servers, name: str, contender: Contender, channel: str, options: argparse.Namespace
) -> Round:
    warm = contenders.drive(contender, servers.sinks, channel, seconds=options.warm)
    ahead = min(max(warm.per_second, 2 * BATCH), 20 * BATCH)
    groups = {server: [process] for server, process in servers.processes().items()}
    gauge = Gauge(groups | {"worker": contender.workers, "accept": contender.accepting})
    profile = options.profile if name == SENDPOINT_1 else None
    with profiling.of(contender.workers[0].pid, profile):
        run = contenders.drive(
            contender, servers.sinks, channel, seconds=options.seconds, ahead=ahead
        )
    cpu = {group: spent / run.deliveries * 1e6 for group, spent in gauge.cpu().items()}
    return Round(
        contender=name,
        channel=channel,
        deliveries=run.deliveries,
        per_second=run.per_second,
        worker_cpu=cpu["worker"],
        accept_cpu=cpu["accept"],
        postgresql_cpu=cpu["postgresql"],
        redis_cpu=cpu["redis"],
        providers_cpu=cpu["providers"],
        all_cpu=sum(cpu.values()),
        memory=peak_memory(contender.workers),
        accept_p50=statistics.median(run.accept),
    )


def table(figures: running.Figures) -> str:
    """Rates hang on what else the machine does, CPU time does so less: with the machine to itself,
    the one is what the cores can do of the other."""
    rounds = figures["rounds"]
    found = {one["contender"] for one in rounds}
    names = [name for name in (SENDPOINT_1, SENDPOINT_2, CELERY, BULLMQ) if name in found]
    best = SENDPOINT_2 if SENDPOINT_2 in found else SENDPOINT_1
    channels = [name for name in CHANNELS if any(one["channel"] == name for one in rounds)]
    tables = [
        ("Whole deliveries a second", _compared(rounds, "per_second", channels, names, best)),
        (
            "CPU of everything for a delivery, servers, providers and accepting among it (µs)",
            _compared(rounds, "all_cpu", channels, names, best),
        ),
        ("CPU of the workers for it (µs)", _compared(rounds, "worker_cpu", channels, names, best)),
        (
            "Memory of the workers at its peak (MiB)",
            running.markdown(
                names, [[running.middle(rounds, "memory", contender=name) for name in names]]
            ),
        ),
    ]
    lacking = [f"Without {one}: {why}." for one, why in figures.get("missing", {}).items()]
    return "\n\n".join([*(f"{title}\n\n{lines}" for title, lines in tables), *lacking])


def _compared(
    rounds: list[dict[str, Any]], figure: str, channels: list[str], names: list[str], best: str
) -> str:
    """A figure by channel and contender, and how much better `best` is than the others are."""
    others = [name for name in (CELERY, BULLMQ) if name in names]
    rows = []
    for channel in channels:
        row = [running.middle(rounds, figure, contender=n, channel=channel) for n in names]
        ratios = [ratio(rounds, figure, channel, best, other) for other in others]
        rows.append([channel, *row, *ratios])
    return running.markdown(["channel", *names, *(f"better than {one}" for one in others)], rows)


def ratio(
    rounds: list[dict[str, Any]], figure: str, channel: str, best: str, other: str
) -> float | None:
    """How much better one is than the other: more a second, or less CPU."""
    ours = running.middle(rounds, figure, contender=best, channel=channel)
    theirs = running.middle(rounds, figure, contender=other, channel=channel)
    if not ours or not theirs:
        return None
    return ours / theirs if figure == "per_second" else theirs / ours


if __name__ == "__main__":
    running.main(sys.modules[__name__])
