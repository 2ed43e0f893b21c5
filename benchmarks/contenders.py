"""What the contenders of `benchmarks.end_to_end` have in common, and how one is driven.

A contender is a whole backend: it accepts 100 recipients at a time, each with a text of its own,
and stores what became of every one of them in PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psutil

from benchmarks.surroundings import Sinks

CHANNELS = ("GCM", "APNS", "EMAIL", "SMS", "CUSTOM")
BATCH = 100

_SETTLE_SECONDS = 120.0


class Contender(Protocol):
    """A backend whose workers run. `workers` are their processes, `accepting` is who accepts."""

    workers: list[psutil.Process]
    accepting: list[psutil.Process]

    def accept(self, channel: str, first: int, count: int = BATCH) -> None:
        """Take recipients in, the first of this number; it returns once they are stored."""

    def unsettled(self) -> int:
        """How many of those that it has taken in have no final result yet."""

    def failed(self) -> int:
        """How many have a result, and not a good one."""

    def forget(self) -> None:
        """Drop what was sent, so that every round finds small tables."""


@dataclass(frozen=True)
class Run:
    """What a drive came to. `accept` are the milliseconds of each call."""

    deliveries: int
    seconds: float
    accept: Sequence[float] = field(repr=False)

    @property
    def per_second(self) -> float:
        return self.deliveries / self.seconds


def drive(
    contender: Contender,
    sinks: Sinks,
    channel: str,
    *,
    seconds: float = 0.0,
    ahead: float = BATCH,
    batch: int = BATCH,
) -> Run:
    """Accept for so many seconds, at least once, `batch` recipients at a time, and wait until the
    last result is stored. No more than `ahead` recipients, or a second's work, wait for the workers
    at a time. Accepting takes its part of the machine, as it does in life.

    Raises if a result is bad, or the provider did not get each message exactly once.
    """
    before = sinks.counts().get(channel, 0)
    accepted, times = 0, []
    started = time.perf_counter()
    while True:
        called = time.perf_counter()
        contender.accept(channel, accepted, batch)
        accepted += batch
        times.append((time.perf_counter() - called) * 1000)
        while (elapsed := time.perf_counter() - started) < seconds:
            taken = sinks.counts().get(channel, 0) - before
            if accepted - taken <= max(ahead, taken / elapsed) - batch:
                break
            time.sleep(0.005)
        if elapsed >= seconds:
            break
    settle(contender)
    run = Run(accepted, time.perf_counter() - started, times)
    taken = sinks.counts().get(channel, 0) - before
    if failed := contender.failed():
        raise RuntimeError(f"{channel}: {failed} messages have a bad result")
    if taken != accepted:
        raise RuntimeError(f"{channel}: accepted {accepted}, and the provider got {taken}")
    return run


def settle(contender: Contender) -> None:
    """Wait until everything that was accepted has a result. Raises if that takes too long."""
    give_up = time.perf_counter() + _SETTLE_SECONDS
    while left := contender.unsettled():
        if time.perf_counter() > give_up:
            raise RuntimeError(f"{left} messages have no result")
        time.sleep(0.01)


@contextlib.contextmanager
def processes(
    command: Sequence[str], environment: Mapping[str, str], *, count: int = 1, quiet: bool = True
) -> Iterator[list[psutil.Process]]:
    """So many processes of a command, ended with SIGTERM."""
    output = subprocess.DEVNULL if quiet else sys.stderr
    started = [
        subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)
        for _ in range(count)
    ]
    try:
        yield [psutil.Process(one.pid) for one in started]
    finally:
        for one in started:
            one.send_signal(signal.SIGTERM)
        for one in started:
            try:
                one.wait(60)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
