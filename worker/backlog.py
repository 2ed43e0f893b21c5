"""How many messages wait, known without counting them for every request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

AT_ONCE = 10_000
"""How many are counted while a request waits for it: some milliseconds' work."""

_GOOD_FOR = 1.0  # seconds, while there is room
_SOON = 0.05  # seconds, while there is none: what is delivered makes some
_SHARE = 10  # a count is good for so many times what it took, so nobody counts most of the time

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Taken:
    """When a count was done, None if never, and what it took."""

    at: float | None = None
    took: float = 0.0

    def left(self, now: float, good_for: float) -> float:
        """For how many seconds more it is good."""
        return 0.0 if self.at is None else self.at + max(good_for, _SHARE * self.took) - now


@dataclass(slots=True)
class _Known:
    """What waits: as it was counted, and what this process added since."""

    number: int = 0
    first: _Taken = field(default_factory=_Taken)
    whole: _Taken = field(default_factory=_Taken)
    counting: threading.Lock = field(default_factory=threading.Lock)
    counting_whole: bool = False


class Backlogs:
    """How many messages of an application wait on a queue. Safe to use from many threads.

    `count` counts them, up to a bound. Up to `AT_ONCE`, it is called while a request waits, once a
    second or so. Only if there are more, all are counted: by `run`, in the background, and never
    for more than a tenth of the time. In between, what this process adds is added; what others add
    and what is delivered is seen by the next count.
    """

    def __init__(
        self,
        count: Callable[[str, str, int], int],
        run: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._run = run
        self._clock = clock
        self._known: dict[tuple[str, str], _Known] = {}
        self._lock = threading.Lock()

    def full_for(self, application_id: str, queue: str, most: int) -> float:
        """0 if fewer than `most` messages wait; else in how many seconds it is worth asking again.
        What `count` raises is the caller's."""
        with self._lock:
            known = self._known.setdefault((application_id, queue), _Known())
        # Whoever comes while another counts goes by the last count, if there is one.
        if self._left(known, most) <= 0 and known.counting.acquire(blocking=known.first.at is None):
            try:
                if self._left(known, most) <= 0:
                    self._count_first(known, application_id, queue, most)
            finally:
                known.counting.release()
        if known.number < most:
            return 0.0
        whole = known.whole.left(self._clock(), 0.0) if most > AT_ONCE else 0.0
        return max(_SOON, self._left(known, most), whole)

    def add(self, application_id: str, queue: str, number: int) -> None:
        """Say that this process has added so many."""
        with self._lock:
            known = self._known.get((application_id, queue))
            if known is not None:
                known.number += number

    def _count_first(self, known: _Known, application_id: str, queue: str, most: int) -> None:
        before, started = known.number, self._clock()
        found = self._count(application_id, queue, min(most, AT_ONCE))
        all_ = most <= AT_ONCE or found < AT_ONCE
        with self._lock:
            now = self._clock()
            # What was added meanwhile may be among those that were found.
            known.number = known.number + found - before if all_ else max(known.number, found)
            known.first = _Taken(now, now - started)
            if all_ or known.counting_whole or known.whole.left(now, 0.0) > 0:
                return
            known.counting_whole = True
        self._run(lambda: self._count_whole(known, application_id, queue, most))

    def _count_whole(self, known: _Known, application_id: str, queue: str, most: int) -> None:
        before, started = known.number, self._clock()
        found = None
        try:
            found = self._count(application_id, queue, most)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the next request tries again
            _log.warning("The backlog could not be counted: %s", type(error).__name__)
        finally:
            with self._lock:
                now = self._clock()
                if found is not None:
                    known.number += found - before
                known.whole = _Taken(now, now - started)
                known.counting_whole = False

    def _left(self, known: _Known, most: int) -> float:
        good_for = _SOON if known.number >= most else _GOOD_FOR
        return known.first.left(self._clock(), good_for)
