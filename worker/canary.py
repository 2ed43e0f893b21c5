"""Whether a worker still hears the broker.

A worker can look alive, answer remote control and send heartbeats, and never take a ring again: a
lost connection in a bad moment is enough. So it rings for itself, on a queue of its own, and only
an answered ring is life.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from worker import store
from worker.rings import Rings

RING = UUID(int=0)
"""What is rung instead of a row's id."""

QUEUE_PREFIX = "sendpoint.canary."

_log = logging.getLogger(__name__)


class Canary:
    """Rings on `queue` and calls `on_stall`, once, when nothing was answered for `patience`
    seconds although the broker took the rings. Times are monotonic."""

    def __init__(
        self,
        rings: Rings,
        queue: str,
        *,
        patience: float,
        on_stall: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = queue
        self._rings = rings
        self._patience = patience
        self._on_stall = on_stall
        self._clock = clock
        self._unanswered_since: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sendpoint-canary", daemon=True)

    def start(self) -> None:
        """Ring from now on, in a thread of its own: what it watches over may hang."""
        self._thread.start()

    def stop(self) -> None:
        """Ring no more."""
        self._stopped.set()

    def answer(self) -> None:
        """The worker took a ring."""
        self._unanswered_since = None

    def silence(self) -> float:
        """For how many seconds it has been unanswered; 0 if it was not."""
        since = self._unanswered_since
        return 0.0 if since is None else self._clock() - since

    def ring(self) -> bool:
        """Ring once, and say whether the worker still hears. A broker that takes no ring says
        nothing of the worker, and what was silence before may be its fault too."""
        if not self._rings.ring([store.Ring(RING, self.queue)], lasting=int(self._patience * 2)):
            self._unanswered_since = None
            return True
        if self._unanswered_since is None:
            self._unanswered_since = self._clock()
        return self.silence() < self._patience

    def _watch(self) -> None:
        while not self._stopped.wait(self._patience / 6):
            if not self.ring():
                _log.critical("No ring was heard for %.0f seconds: starting anew", self.silence())
                self._on_stall()
                return
