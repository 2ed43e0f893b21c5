"""A Celery pool that runs tasks as coroutines on one event loop.

Celery hands rings over in its own thread, the loop works in another. What a hand-over costs is the
wake-up, so both directions go in bulk: one wake-up of the loop for all rings of a turn, and
completions returned together. Rings are acknowledged late and, in memory, by Celery's own count,
so its prefetch bounds what is in flight and nothing here ever blocks Celery's thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import BasePool
from kombu.serialization import loads

from worker.loop import Loop

_RETURN_EVERY = 0.005  # seconds for which completions are gathered before Celery is told

_log = logging.getLogger(__name__)


class LoopPool(BasePool):
    """`on_start` opens the loop, `on_stop` lets what is in flight come to its end."""

    def on_start(self) -> None:
        self.loop = Loop()
        self._arrived: deque[tuple[Any, ...]] = deque()
        self._ended: deque[tuple[Callable[..., None], Any]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._returning = False

    def on_apply(
        self,
        target: object,  # noqa: ARG002 - Celery's tracer, for functions
        args: tuple[Any, ...] = (),
        kwargs: object = None,  # noqa: ARG002 - the task's own are in args
        callback: Callable[..., None] | None = None,
        accept_callback: Callable[..., None] | None = None,
        **_: object,
    ) -> None:
        """Take a task from Celery and return at once."""
        self._arrived.append((args, callback, accept_callback))
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
        self,
        args: tuple[Any, ...],
        callback: Callable[..., None],
        accept_callback: Callable[..., None] | None,
    ) -> None:
        name, _uuid, _request, body, content_type, encoding = args
        started = time.monotonic()
        if accept_callback is not None:
            accept_callback(os.getpid(), started)
        try:
            if isinstance(body, str | bytes):
                body = loads(body, content_type, encoding, accept=("application/json",))
            positional, named, _ = body
            await self.app.tasks[name].run(*positional, **named)
        except Exception as error:  # noqa: BLE001 - Celery is told, the loop goes on
            _log.exception("Task %s failed", name)
            ended: Any = (1, ExceptionInfo((type(error), error, error.__traceback__)), 0.0)
        else:
            ended = (0, None, time.monotonic() - started)
        self._ended.append((callback, ended))
        if not self._returning:
            self._returning = True
            self.loop.asyncio.call_later(_RETURN_EVERY, self._return)

    def _return(self) -> None:
        self._returning = False
        while self._ended:
            callback, ended = self._ended.popleft()
            callback(ended)

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
