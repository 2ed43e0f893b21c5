"""Looking after what no ring reaches: the rows that wait for one, the messages whose worker is
gone, and those whose deadline passed.

Every worker does this all the time. The broker holds a window of rings and no more; whatever waits
beyond it waits in the database, from where the queues are fed, one application after the other, so
that nobody's backlog stands in front of another's message. While the broker is away, workers take
what waits straight from the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker import dispatch, events, plan, retry, store, telling
from worker.runtime import Runtime

_log = logging.getLogger(__name__)

AT_ONCE = 500
"""Messages that a sweep takes back, or closes, at most: a transaction that is over soon."""

_FEED_EVERY = 0.2  # seconds, while what waits fits into the queues
_FEED_SOON = 0.05  # seconds, while more waits than does


@dataclass(frozen=True, slots=True)
class Fed:
    """What feeding came to: how many messages were rung for, whether more of them wait, and those
    that the caller is to deliver itself, since nobody would hear their ring."""

    rung: int = 0
    more: bool = False
    here: Sequence[store.Ring] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: messages it rang for, took back from a lost worker, or closed."""

    rung: int
    rescued: int
    expired: int

    @property
    def more(self) -> bool:
        """Whether there may be more to take back or to close."""
        return max(self.rescued, self.expired) >= AT_ONCE


class _Contact:
    """Says once that the database is away, and once that it is back."""

    _lost = False

    def lost(self) -> None:
        if not self._lost:
            _log.warning("The database does not answer: it is asked again until it does")
        self._lost = True

    def found(self) -> None:
        if self._lost:
            _log.warning("The database answers again")
        self._lost = False


def sweep(runtime: Runtime) -> Swept:
    """One round over everything that was left behind."""
    db, settings = runtime.db, runtime.settings
    tell = telling.of_settled(runtime)
    rescued = store.rescue(
        db,
        at_most_once=retry.AT_MOST_ONCE,
        max_attempts=settings.max_attempts,
        code_attempts=retry.CODE_ATTEMPTS,
        tell=tell,
        limit=AT_ONCE,
    )
    expired = store.expire(db, tell=tell, limit=AT_ONCE)
    store.forget(db)
    fed = feed(runtime)
    events.swept(rung=fed.rung, rescued=rescued, expired=expired)
    return Swept(fed.rung, rescued, expired)


def feed(runtime: Runtime, capacity: int = 0) -> Fed:
    """Ring for what waits for a ring, as far as the queues have room: each application gets an
    equal share of it.

    Without a broker, up to `capacity` messages are the caller's to deliver.
    """
    give_back(runtime)
    rung, more = 0, False
    waiting = store.waiting(runtime.db, runtime.queues)
    for queue in plan.QUEUES:
        if queue not in waiting:
            continue
        try:
            room = runtime.settings.window - runtime.rings.waiting(queue)
        except ConnectionError:
            return Fed(rung, more, _take(runtime, waiting, capacity))
        most = _wanted(runtime, queue, waiting[queue], room)
        due = _share(runtime, queue, most, room)
        if not runtime.rings.ring(due):
            store.unring(runtime.db, [one.id for one in due])
            return Fed(rung, more, _take(runtime, waiting, capacity))
        rung += len(due)
        counts = Counter(one.application_id for one in due)
        more = more or len(due) >= room or any(counts[one] >= most[one] for one in counts)
    return Fed(rung, more)


def give_back(runtime: Runtime) -> None:
    """Have the rings that this process had no place for rung again, by whoever has one."""
    back = [runtime.unanswered.popleft() for _ in range(len(runtime.unanswered))]
    if back:
        store.unring(runtime.db, back)


async def keep_sweeping(runtime: Runtime) -> None:
    """Feed and sweep until the worker drains, and then finish what is delivered from here. What
    fails is tried again; it left nothing half done."""
    loop = asyncio.get_running_loop()
    here: set[asyncio.Task[None]] = set()
    next_sweep, pause = loop.time(), _FEED_EVERY
    database = _Contact()
    while not runtime.draining:
        # Workers that started together should not sweep together.
        await asyncio.sleep(pause * runtime.rng.uniform(0.5, 1.0))
        pause = _FEED_EVERY
        try:
            if loop.time() >= next_sweep:
                next_sweep = loop.time() + runtime.settings.sweep_interval
                swept = await loop.run_in_executor(runtime.executor, sweep, runtime)
                if swept.more:
                    next_sweep, pause = loop.time(), _FEED_SOON
            fed = await loop.run_in_executor(runtime.executor, feed, runtime, runtime.places.left)
        except store.Unavailable:
            database.lost()
        except Exception:  # noqa: BLE001 - everything falls back on the sweep: it must go on
            _log.exception("The sweep failed; it is tried again")
        else:
            database.found()
            _deliver(runtime, fed.here, here)
            if fed.more or fed.here or runtime.unanswered:
                pause = _FEED_SOON
    if here:
        await asyncio.wait(here)


def _deliver(runtime: Runtime, rings: Sequence[store.Ring], here: set[asyncio.Task[None]]) -> None:
    """Deliver these from here, each a task that is in `here` until it is done."""
    for one in rings:
        task = asyncio.create_task(dispatch.deliver(runtime, one.id, one.lane))
        here.add(task)
        task.add_done_callback(here.discard)


def _take(
    runtime: Runtime, waiting: Mapping[str, Collection[str]], capacity: int
) -> Sequence[store.Ring]:
    """Up to `capacity` of what waits, the queues that matter more first."""
    taken: list[store.Ring] = []
    for queue in plan.QUEUES:
        if queue in waiting:
            most = {one: runtime.places.room((queue, one)) for one in waiting[queue]}
            taken += _share(runtime, queue, most, capacity - len(taken))
    return taken


def _wanted(
    runtime: Runtime, queue: str, application_ids: Collection[str], room: int
) -> dict[str, int]:
    """How many messages of each application are worth ringing for."""
    return {one: runtime.places.wanted((queue, one), room) for one in application_ids}


def _share(runtime: Runtime, queue: str, most: Mapping[str, int], room: int) -> list[store.Ring]:
    """Up to `room` of what waits on a queue, an equal share of each application, and no more of
    one than the `most` it may have."""
    hungry = [one for one, number in most.items() if number > 0]
    if room <= 0 or not hungry:
        return []
    drawn = runtime.rng.sample(hungry, min(len(hungry), room))
    return store.due(
        runtime.db,
        queue,
        {one: most[one] for one in drawn},
        room=room,
        again_after=runtime.settings.ring_again_after,
    )
