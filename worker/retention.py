"""Deleting what was settled so long ago that it is not kept any more.

One process of all does so at a time, and slowly: a batch a second, in a transaction of its own, so
that deliveries do not notice.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from worker import events, store
from worker.runtime import Runtime

_TURN = "retention"
_TURN_SECONDS = 30.0
_BATCH_EVERY = 1.0
_PASS_EVERY = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """A way through the requests, from the oldest on: where it is, and what it deletes."""

    before: datetime
    mark: UUID | None = None


def prune(
    db: store.Database, before: datetime, *, size: int = 500, dry_run: bool = False
) -> Iterator[store.Pruned]:
    """Delete what was settled before then, as fast as it goes, and tell of each batch; or only
    count it. What was interrupted is resumed by beginning it again."""
    batch = store.prune(db, before, limit=size, dry_run=dry_run)
    while batch.mark is not None:
        yield batch
        batch = store.prune(db, before, mark=batch.mark, limit=size, dry_run=dry_run)


async def keep_pruning(runtime: Runtime) -> None:
    """Delete what is older than the settings say until cancelled; nothing, if they say nothing.
    What fails is tried again."""
    loop = asyncio.get_running_loop()
    now: Pass | None = None
    while runtime.settings.retention:
        # What is left of a pass waits for its next batch, and else for the next pass.
        pause = _BATCH_EVERY if now else _PASS_EVERY
        await runtime.sleep(pause * runtime.rng.uniform(1.0, 1.5))
        try:
            now = await loop.run_in_executor(
                runtime.executor, functools.partial(prune_next, runtime, now)
            )
        except store.Unavailable:
            pass  # the sweep says so
        except Exception:  # noqa: BLE001 - nobody else would delete it
            _log.exception("What is old could not be deleted; it is tried again")
            now = None


def prune_next(runtime: Runtime, now: Pass | None = None) -> Pass | None:
    """Delete the next batch of a pass, or the first of a new one, and say how to go on: None if the
    pass is over, or it is another process's turn."""
    db = runtime.db
    if not store.take_turn(db, _TURN, holder=runtime.name, seconds=_TURN_SECONDS):
        return None
    now = now or Pass(db.time() - timedelta(seconds=runtime.settings.retention))
    batch = store.prune(db, now.before, mark=now.mark)
    events.pruned(requests=batch.requests, messages=batch.messages)
    return Pass(now.before, batch.mark) if batch.mark else None
