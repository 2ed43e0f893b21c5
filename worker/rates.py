"""The limits as the database has them."""

from __future__ import annotations

import time

from worker import limits, store

FRESH = 3.0
"""Seconds for which what was read is not read again: a change of a limit is seen within them."""


class Rates:
    """A change of a limit is seen within seconds, without a restart. While the database is away,
    the limits are those that it had last."""

    def __init__(self, db: store.Database) -> None:
        self._db = db
        self._read: tuple[float, limits.Limits] | None = None

    def current(self) -> limits.Limits:
        """The limits of all owners, from the database unless they were read a moment ago."""
        cached = self.cached()
        if cached is not None:
            return cached
        try:
            found = limits.Limits(store.limits(self._db))
        except store.Unavailable:
            if self._read is None:
                raise
            found = self._read[1]
        self._read = time.monotonic(), found
        return found

    def cached(self) -> limits.Limits | None:
        """What `current` last said, if that was only a moment ago."""
        if self._read is None or time.monotonic() - self._read[0] > FRESH:
            return None
        return self._read[1]

    def forget(self) -> None:
        """Read them anew: this process has just changed them. The others see it within seconds."""
        self._read = None
