"""Whether a worker's memory stays where it is: `python -m benchmarks.soak`, by itself, since a
million deliveries take longer than the rest of the suite.

One worker process delivers pushes, mail and webhooks in turns; after about every tenth of the
deliveries its memory is noted, with the throughput of that tenth. Rows are dropped meanwhile, since
it is the worker that is looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks import contenders, running, surroundings
from benchmarks.deployment import Deployment
from benchmarks.gauge import peak_memory

NAME = "soak"

_CHANNELS = ("GCM", "EMAIL", "CUSTOM")
_PARTS = 10
_TURN = 5.0  # seconds of a channel


@dataclass(frozen=True)
class Part:
    """After so many deliveries in all: MiB that the worker holds and held at most."""

    deliveries: int
    per_second: float
    memory: float
    peak: float


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deliveries", type=int, default=1_000_000)


def measure(options: argparse.Namespace) -> running.Figures:
    parts: list[Part] = []
    with (
        surroundings.all_servers() as servers,
        contextlib.closing(Deployment(servers, "soak")) as ours,
        ours.running(1),
    ):
        contenders.drive(ours, servers.sinks, _CHANNELS[0])  # to come up
        (worker,) = ours.workers
        done = turn = 0
        while done < options.deliveries:
            before, started = done, time.perf_counter()
            while done < before + options.deliveries / _PARTS:
                channel = _CHANNELS[turn % len(_CHANNELS)]
                run = contenders.drive(
                    ours, servers.sinks, channel, seconds=_TURN, ahead=10 * contenders.BATCH
                )
                done, turn = done + run.deliveries, turn + 1
                servers.sinks.arrivals()  # which would grow
                ours.forget()
            rate = (done - before) / (time.perf_counter() - started)
            memory = worker.memory_info().rss / 2**20
            parts.append(Part(done, rate, memory, peak_memory([worker])))
            running.say(f"{done:,} deliveries, {memory:.0f} MiB")
    return {"parts": [asdict(one) for one in parts]}


def table(figures: running.Figures) -> str:
    parts = figures["parts"]
    rows = [
        [f"{one['deliveries']:,}", one["per_second"], one["memory"], one["peak"]] for one in parts
    ]
    grown = parts[-1]["memory"] - parts[0]["memory"]
    title = f"Memory of one worker process; it grew by {grown:.1f} MiB from the first line on"
    head = ["deliveries", "deliveries/s", "memory (MiB)", "at most (MiB)"]
    return f"{title}\n\n{running.markdown(head, rows)}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
