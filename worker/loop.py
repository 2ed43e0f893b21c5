"""The event loop of a process: one, in one thread, for as long as the process lives. Adapters,
their connections and their pools belong to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own. Open it in the process that uses it, after a fork."""

    def __init__(self, name: str = "sendpoint-loop") -> None:
        self.asyncio: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.asyncio.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for it, from any other thread. After `timeout`
        seconds it is cancelled and `TimeoutError` raised."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.asyncio)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, stop the loop and its thread."""
        if self.asyncio.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.asyncio).result(10)
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join()
        self.asyncio.close()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
