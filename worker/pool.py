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
from typing import Any

import msgspec
from celery.concurrency.base import BasePool
from celery.exceptions import InvalidTaskError

from worker.loop import Loop

_RETURN_EVERY = 0.005  # seconds for which acknowledgements are gathered before Celery is told
_LONG = 0.2  # seconds, and up to twice as many, after which a task gives up its place in Celery

_log = logging.getLogger(__name__)
_positional = msgspec.json.Decoder(tuple[list[str], dict[str, Any], Any]).decode

Function = Callable[..., Awaitable[None]]


def strategy(task: Any, app: object, consumer: Any) -> Callable[..., None]:  # noqa: ARG001 - Celery's signature
    """What Celery's consumer does with a message of `task`, a coroutine function that takes texts.

    Celery's own strategy makes a Request of it, with arguments decoded twice, signals and states
    for features that a ring has no use for. That is more than the delivery costs us.
    """
    pool: LoopPool = consumer.pool

    def on_message(message: Any, *_: object) -> None:
        try:
            arguments, _named, _options = _positional(message.body)
        except msgspec.MsgspecError as error:
            raise InvalidTaskError("not a ring") from error
        pool.take(task.run, arguments, message, consumer)

    return on_message


class LoopPool(BasePool):
    """`on_start` opens the loop, `on_stop` lets what is in flight come to its end."""

    def on_start(self) -> None:
        self.loop = Loop()
        self._arrived: deque[tuple[Function, Sequence[str], Any, Any]] = deque()
        self._ended: dict[Any, list[Any]] = {}
        # The messages of the tasks that run, with their consumers: those of now, those of before.
        self._young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._returning = False
        self.loop.asyncio.call_soon_threadsafe(self._let_go)

    def take(self, run: Function, arguments: Sequence[str], message: Any, consumer: Any) -> None:
        """Run a coroutine function with these arguments, and let the consumer acknowledge the
        message at its end. Returns at once."""
        self._arrived.append((run, arguments, message, consumer))
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
            task = self.loop.asyncio.create_task(self._run(*self._arrived.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(
        self, run: Function, arguments: Sequence[str], message: Any, consumer: Any
    ) -> None:
        running = self._young
        running[message] = consumer
        try:
            await run(*arguments)
        except Exception:  # noqa: BLE001 - one message's trouble; the loop goes on
            _log.exception("A task failed")
        if running.pop(message, None) is not None:
            self._end(message, consumer)

    def _end(self, message: Any, consumer: Any) -> None:
        self._ended.setdefault(consumer, []).append(message)
        if not self._returning:
            self._returning = True
            self.loop.asyncio.call_later(_RETURN_EVERY, self._return)

    def _let_go(self) -> None:
        """Acknowledge what has run since the time before last, again and again."""
        for message, consumer in self._old.items():
            self._end(message, consumer)
        self._old.clear()
        self._old, self._young = self._young, {}
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
