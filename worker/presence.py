"""How many workers there are. Each says that it is there, and hears how many do: without Redis, the
limits are divided among them."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from worker import store
from worker.runtime import Runtime

_EVERY = 5.0  # seconds
_SECONDS = 3 * _EVERY  # after which a worker that says nothing is gone

_log = logging.getLogger(__name__)


async def keep_present(runtime: Runtime) -> None:
    """Be counted until cancelled. While the database is away, the number stays what it was."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            runtime.throttle.shares = await loop.run_in_executor(
                runtime.executor, store.be_present, runtime.db, UUID(runtime.name), _SECONDS
            )
        except store.Unavailable:
            pass  # the sweep says so
        except Exception:  # noqa: BLE001 - nobody else would count it
            _log.exception("The workers cannot be counted")
        await asyncio.sleep(_EVERY)


def count(db: store.Database) -> int:
    """How many workers there are, for whoever is none."""
    return store.count_present(db, _SECONDS)


def end(runtime: Runtime) -> None:
    """Be counted no more. Who cannot say so is forgotten soon."""
    try:
        store.be_gone(runtime.db, UUID(runtime.name))
    except store.Unavailable:
        _log.info("The database did not hear that this worker ends")
