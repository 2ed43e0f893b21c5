"""A Celery pool that runs tasks as coroutines on one event loop, and how rings get there.

Celery's consumer works in its own thread, the loop in another. What a hand-over costs is the
wake-up, so both directions go in bulk: one wake-up of the loop for all rings of a turn, and
acknowledgements returned together. Rings are acknowledged late and, in memory, by Celery's own
count, so its prefetch bounds what is in flight and nothing here ever blocks Celery's thread.

What takes long is acknowledged before its end: what comes next must not wait for it. How much of
that there may be is for the task to say, which does not begin what is too much (`worker.places`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from celery.concurrency.base import BasePool
from celery.exceptions import InvalidTaskError

from worker.loop import Loop

_RETURN_EVERY = 0.005  # seconds for which acknowledgements are gathered before Celery is told
_LONG = 0.3  # seconds, and up to twice as many, after which a task gives up its place in Celery

_log = logging.getLogger(__name__)
_positional = msgspec.json.Decoder(tuple[list[str], dict[str, Any], Any]).decode

Function = Callable[..., Awaitable[None]]
Calls = Sequence[Sequence[str]]


def strategy(task: Any, app: object, consumer: Any) -> Callable[..., None]:  # noqa: ARG001 - Celery's signature
    """What Celery's consumer does with a message of `task`, a coroutine function that takes texts.
    A message with `calls` has the arguments of that many, and is acknowledged as many times.

    Celery's own strategy makes a Request of it, with arguments decoded twice, signals and states
    for features that a ring has no use for. That is more than the delivery costs us.
    """
    pool: LoopPool = consumer.pool

    def on_message(message: Any, *_: object) -> None:
        calls: Calls = getattr(message, "calls", ())
        if not calls:
            try:
                arguments, _named, _options = _positional(message.body)
            except msgspec.MsgspecError as error:
                raise InvalidTaskError("not a ring") from error
            calls = [arguments]
        pool.take(Bulk(task.run, calls, message, consumer))

    return on_message


@dataclass(slots=True, eq=False)
class Bulk:
    """Calls of a coroutine function that came as one message. The consumer acknowledges it once for
    each, and `unended` times are still to come."""

    run: Function
    calls: Calls
    message: Any
    consumer: Any
    unended: int = 0


class LoopPool(BasePool):
    """`on_start` opens the loop, `on_stop` lets what is in flight come to its end."""

    def on_start(self) -> None:
        self.loop = Loop()
        self._arrived: deque[Bulk] = deque()
        self._ended: dict[Any, list[Any]] = {}
        # What runs, and some of what has ended: that of now, that of before.
        self._young: list[Bulk] = []
        self._old: list[Bulk] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._returning = False
        self.loop.asyncio.call_soon_threadsafe(self._let_go)

    def take(self, bulk: Bulk) -> None:
        """Run a bulk's calls, and let its consumer acknowledge each at its end. Returns at once."""
        self._arrived.append(bulk)
        if not self._waking:
            self._waking = True
            self.loop.asyncio.call_soon_threadsafe(self._begin)

    def drain(self, seconds: float) -> None:
        """Wait for what is in flight, at most so many seconds, and cancel the rest."""
        try:
            self.loop.run(self._drain(), seconds)
        except TimeoutError:
            _log.warning("%d deliveries did not end in time", len(self._tasks))

    def on_stop(self) -> None:
        self.loop.close()

    def on_terminate(self) -> None:
        self.loop.close()

    def _begin(self) -> None:
        self._waking = False
        while self._arrived:
            bulk = self._arrived.popleft()
            bulk.unended = len(bulk.calls)
            self._young.append(bulk)
            for arguments in bulk.calls:
                task = self.loop.asyncio.create_task(self._run(bulk, arguments))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _run(self, bulk: Bulk, arguments: Sequence[str]) -> None:
        try:
            await bulk.run(*arguments)
        except Exception:  # noqa: BLE001 - one message's trouble; the loop goes on
            _log.exception("A task failed")
        if bulk.unended:
            self._end(bulk, 1)

    def _end(self, bulk: Bulk, count: int) -> None:
        bulk.unended -= count
        self._ended.setdefault(bulk.consumer, []).extend([bulk.message] * count)
        if not self._returning:
            self._returning = True
            self.loop.asyncio.call_later(_RETURN_EVERY, self._return)

    def _let_go(self) -> None:
        """Acknowledge what has run since the time before last, again and again."""
        for bulk in self._old:
            self._end(bulk, bulk.unended)
        self._old, self._young = self._young, []
        self.loop.asyncio.call_later(_LONG, self._let_go)

    def _return(self) -> None:
        self._returning = False
        ended, self._ended = self._ended, {}
        for consumer, messages in ended.items():
            consumer.call_soon_ack(_acknowledge, messages, consumer.connection_errors)

    async def _drain(self) -> None:
        while self._tasks or self._arrived:
            await asyncio.wait(self._tasks) if self._tasks else await asyncio.sleep(0)
        self._return()

    def _get_info(self) -> dict[str, Any]:
        return {
            "implementation": "worker.pool:LoopPool",
            "max-concurrency": self.limit,
            "in-flight": len(self._tasks),
            "threads": threading.active_count(),
        }


def _acknowledge(messages: Sequence[Any], connection_errors: tuple[type[Exception], ...]) -> None:
    for message in messages:
        message.ack_log_error(_log, connection_errors)
