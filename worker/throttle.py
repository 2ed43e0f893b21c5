"""Our own limits, asked before a message is handed to a provider."""

from __future__ import annotations

from typing import Protocol

from worker import store


class Throttle(Protocol):
    """Says how long a claimed message has to wait. It must not wait itself: a message that is held
    waits in the database, not in a worker."""

    async def hold(self, claimed: store.Claimed) -> float:
        """Seconds until this message may be sent; 0 for at once, which takes its turn."""
        ...


class Unlimited:
    """No limits."""

    async def hold(self, claimed: store.Claimed) -> float:  # noqa: ARG002 - nothing to ask
        return 0.0
