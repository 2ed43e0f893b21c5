"""What the endpoints share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple
from uuid import UUID

import anyio
import anyio.to_thread

from worker import intake, store, wire
from worker.batch import Batch
from worker.runtime import Runtime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 8
"""Calls into the core at one time. With the runtime's own eight that is just within the
connections of the database's pool; one more would wait there, out of sight and with a time-out."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A message as it was posted: what the caller wants to be accepted, as JSON."""

    application_id: str
    content: bytes = field(repr=False)
    idempotency_key: str | None
    caller: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A runtime, and the threads in which the loop calls its synchronous core. `settled` says
    whether a request is, with one question for all that are waited for; `accepts` takes messages
    in, those that come at the same time together."""

    runtime: Runtime
    threads: anyio.CapacityLimiter
    settled: Batch[UUID, bool]
    accepts: Batch[Posted, intake.Accepted | Exception]

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function of the core in a thread, without holding up the loop."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self.threads)


def open_edge(runtime: Runtime) -> Edge:
    """The edge over a runtime."""

    def settled(request_ids: Sequence[UUID]) -> Sequence[bool]:
        pending = store.pending(runtime.db, request_ids)
        return [one not in pending for one in request_ids]

    return Edge(
        runtime,
        anyio.CapacityLimiter(THREADS),
        settled=Batch(settled, runtime.executor, gather=0.002),
        # Two at a time: what one waits for does not hold up everybody.
        accepts=Batch(functools.partial(_accept, runtime), runtime.executor, limit=50, at_once=2),
    )


def _accept(runtime: Runtime, posted: Sequence[Posted]) -> Sequence[intake.Accepted | Exception]:
    """What each of them came to."""
    came_to: list[intake.Accepted | Exception | None] = [None] * len(posted)
    asked = {}
    for number, one in enumerate(posted):
        try:
            request = wire.decode(one.content, wire.MessageRequest)
        except wire.RequestError as mistake:
            came_to[number] = mistake
        else:
            asked[number] = intake.Asked(
                one.application_id, request, one.idempotency_key, one.caller
            )
    accepted = iter(intake.accept_all(runtime, [*asked.values()]))
    return [next(accepted) if one is None else one for one in came_to]
