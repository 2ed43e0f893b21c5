"""What the endpoints share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import anyio.to_thread

from worker.runtime import Runtime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 8
"""Calls into the core at one time. With the six of an embedded worker that is just within the
connections of the database's pool; one more would wait there, out of sight and with a time-out."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A runtime, and the threads in which the loop calls its synchronous core."""

    runtime: Runtime
    threads: anyio.CapacityLimiter

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function of the core in a thread, without holding up the loop."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self.threads)
