"""Celery's consumer, so that once a broker is back it hears again within seconds.

While it is away, the sweep delivers what waits. As soon as it takes rings again, the sweep leaves
that to those who hear them, and nobody must be half a minute late.
"""

from __future__ import annotations

import time
from typing import Any

import kombu
from celery.worker import consumer

_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 2.0


class Consumer(consumer.Consumer):
    """Celery's, with a pause after an error that the broker answered with: it can still be
    connected to, and would be, again and again."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(_PAUSE)


class Connection(kombu.Connection):
    """kombu's, which would wait up to half a minute between two tries at a broker that is away."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": _LONGEST_PAUSE} | kwargs)
