"""A time-out over many things that are under way, at the price of one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class Watch:
    """Ends what takes too long. It looks at everything together, every `every` seconds while there
    is anything: nothing ends before its time is up, and nothing more than `every` seconds later."""

    def __init__(self, every: float = 0.5) -> None:
        self.every = every
        self._due: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, seconds: float, work: Awaitable[T]) -> T:
        """What `work` comes to. `TimeoutError` if it is cancelled for taking too long. A task waits
        for one thing at a time."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("There is no task to be ended")
        loop = task.get_loop()
        others = task.cancelling()
        self._due[task] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_later(self.every, self._look, loop)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._due or task.cancelling() > others + 1:
                raise  # somebody else wants it to end
            raise TimeoutError from None
        finally:
            if self._due.pop(task, None) is None:
                task.uncancel()
            # Of those that end in the same look the first has cancelled it.
            if not self._due and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.every, self._look, loop)
        now = loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            task.cancel()
