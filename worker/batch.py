"""Gathering concurrent calls into one: what makes a statement per message a statement per batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batch(Generic[In, Out]):
    """A function over many items, called by many coroutines with one item each.

    `run` gets the items that came in while `at_once` calls were under way and up to `gather`
    seconds after the last of them, at most `limit`, in a thread of `executor`, and returns a result
    for each, in order. An idle batch is not held back: the first item leaves at the end of the
    loop's turn, with all others of that turn. What `run` raises reaches every caller of that batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Sequence[Out]],
        executor: Executor,
        *,
        limit: int = 200,
        gather: float = 0.0,
        at_once: int = 1,
    ) -> None:
        self._run = run
        self._executor = executor
        self._limit = limit
        self._gather = gather
        self._free = at_once
        self._waiting: list[tuple[In, asyncio.Future[Out]]] = []
        self._due = False

    async def put(self, item: In) -> Out:
        """The result for `item`, once its batch has run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Out] = loop.create_future()
        self._waiting.append((item, future))
        if self._free and not self._due:
            self._due = True
            loop.call_soon(self._start, loop)
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = False
        self._free -= 1
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        call = loop.run_in_executor(self._executor, self._run, [item for item, _ in batch])
        call.add_done_callback(lambda done: self._finish(loop, batch, done))
        if self._free and self._waiting:
            self._due = True
            loop.call_soon(self._start, loop)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[In, asyncio.Future[Out]]],
        done: asyncio.Future[Sequence[Out]],
    ) -> None:
        error = done.exception()
        results = [] if error else done.result()
        for index, (_, future) in enumerate(batch):
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(results[index])
            else:
                future.set_exception(error)
        self._free += 1
        if self._due or not self._waiting:
            return
        self._due = True
        if self._gather and len(self._waiting) < self._limit:
            loop.call_later(self._gather, self._start, loop)
        else:
            self._start(loop)
