"""What the endpoints share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple
from uuid import UUID

import anyio
import anyio.to_thread

from worker import store
from worker.batch import Batch
from worker.runtime import Runtime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 8
"""Calls into the core at one time. With the six of an embedded worker that is just within the
connections of the database's pool; one more would wait there, out of sight and with a time-out."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A runtime, and the threads in which the loop calls its synchronous core. `settled` says
    whether a request is, with one question for all that are waited for."""

    runtime: Runtime
    threads: anyio.CapacityLimiter
    settled: Batch[UUID, bool]

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function of the core in a thread, without holding up the loop."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self.threads)


def open_edge(runtime: Runtime) -> Edge:
    """The edge over a runtime."""

    def settled(request_ids: Sequence[UUID]) -> Sequence[bool]:
        pending = store.pending(runtime.db, request_ids)
        return [one not in pending for one in request_ids]

    batch = Batch(settled, runtime.executor, gather=0.002)
    return Edge(runtime, anyio.CapacityLimiter(THREADS), batch)
