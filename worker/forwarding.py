"""Telling the sink what the event streams are still to be told.

One process of all does so at a time, so that events arrive in the order in which they were written;
when it is gone, another takes its turn. An event is forgotten once the sink has it: a crash between
the two has it told again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, TypeVarTuple

from worker import sinks, store
from worker.runtime import Runtime

BATCH = 500
"""Events that are handed over at one time. Those of Firehose hold as many."""

_TURN = "events"
_TURN_SECONDS = 3 * sinks.SECONDS
_PORTION = 1024 * 1024  # characters
_LONGEST_PAUSE = 30.0
_LOOK_EVERY = 30.0  # seconds between looks for what is to be given up

_log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def forward(runtime: Runtime) -> bool:
    """Tell the sink the next events, if there are any and it is this process's turn. Says whether
    as many as go at one time were there, so that more wait. Raises `sinks.NotTaken` with what is
    left still to be told."""
    sink = runtime.sink
    if sink is None:
        return False
    taken_at = time.monotonic()
    events = await _call(runtime, _next, runtime)
    for destination, portion in _portions(events):
        if time.monotonic() - taken_at > sinks.SECONDS:  # another portion might outlast the turn
            taken_at = time.monotonic()
            if not await _call(runtime, _take_turn, runtime):
                return False
        if destination is not None:  # else the stream was deleted, and nobody is to be told
            try:
                async with asyncio.timeout(sinks.SECONDS):
                    await sink.put(destination, portion)
            except TimeoutError:
                raise sinks.NotTaken(f"No answer in {sinks.SECONDS:.0f} seconds") from None
        ids = [one.id for one in portion]
        await _call(runtime, store.forget_events, runtime.db, ids)
    return len(events) == BATCH


async def keep_forwarding(runtime: Runtime) -> None:
    """Forward until cancelled. What fails is tried again, less and less often; what waits for too
    long, or is too much, is given up. Without a sink there is nothing to do."""
    usual = runtime.settings.sweep_interval
    pause, failed, looked = usual, False, -math.inf
    while runtime.sink is not None:
        await asyncio.sleep(pause * runtime.rng.uniform(0.5, 1.0))
        try:
            if time.monotonic() - looked > _LOOK_EVERY:
                looked = time.monotonic()
                await _call(runtime, give_up, runtime)
            more = await forward(runtime)
        except (sinks.NotTaken, store.Unavailable) as trouble:
            if not failed:
                what = trouble if isinstance(trouble, sinks.NotTaken) else "no database"
                _log.error("Events wait until they can be told: %s", what)
            pause, failed = min(max(pause, usual) * 2, _LONGEST_PAUSE), True
        except Exception:  # noqa: BLE001 - whatever it was, the events are still there
            _log.exception("Events could not be told; it is tried again")
            pause, failed = min(max(pause, usual) * 2, _LONGEST_PAUSE), True
        else:
            if failed:
                _log.warning("Events are told again")
            pause, failed = 0.0 if more else usual, False


async def finish(runtime: Runtime) -> None:
    """Tell what is left, as far as it goes at once, leave the turn to another process, and close
    the sink. For a process that stops."""
    if runtime.sink is None:
        return
    try:
        while await forward(runtime):
            pass
        end = functools.partial(store.end_turn, runtime.db, _TURN, holder=runtime.name)
        await _call(runtime, end)
    except (sinks.NotTaken, store.Unavailable) as trouble:
        _log.warning("Events are left to another process: %s", type(trouble).__name__)
    finally:
        await runtime.sink.aclose()


def give_up(runtime: Runtime) -> int:
    """Forget the events that have waited for too long, or are too many to be kept, and say how many
    that were. They are lost, so it is an error."""
    settings = runtime.settings
    total = 0
    while lost := store.forget_old_events(
        runtime.db, older_than=settings.events_keep, most=settings.events_most
    ):
        total += lost
    if total:
        _log.error("%d events are given up: the sink has not taken them for too long", total)
    return total


def _next(runtime: Runtime) -> list[store.Untold]:
    """The next events, if it is this process's turn, or can be."""
    if not store.untold(runtime.db, limit=1) or not _take_turn(runtime):
        return []
    # Read once it is our turn: until then another may be telling them.
    return store.untold(runtime.db, limit=BATCH)


def _take_turn(runtime: Runtime) -> bool:
    return store.take_turn(runtime.db, _TURN, holder=runtime.name, seconds=_TURN_SECONDS)


def _portions(
    events: Sequence[store.Untold],
) -> Iterator[tuple[str | None, list[store.Untold]]]:
    """The events of each stream in their order, as many at a time as a sink can be handed."""
    by_stream: dict[str | None, list[store.Untold]] = {}
    for one in events:
        by_stream.setdefault(one.destination, []).append(one)
    for destination, of_stream in by_stream.items():
        portion: list[store.Untold] = []
        size = 0
        for one in of_stream:
            if portion and size + len(one.record) > _PORTION:
                yield destination, portion
                portion, size = [], 0
            portion.append(one)
            size += len(one.record)
        yield destination, portion


async def _call(runtime: Runtime, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    return await asyncio.get_running_loop().run_in_executor(runtime.executor, function, *arguments)
