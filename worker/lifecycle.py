"""What a provider's answer says of an address, carried over to the endpoints that have it."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from datetime import UTC, datetime

from adapters.contract import DeliveryStatus, Outcome
from worker import store

WINDOW = 200
"""The last messages of a channel, by which dead addresses are believed."""

_SHARE = 0.2
_AT_LEAST = 10

_log = logging.getLogger(__name__)


class Guard:
    """Stops deactivation when too many addresses of a channel look dead at once: then it is
    rather our key, our project or our environment that is wrong. Each process watches the last
    200 attempts of each channel; up to 10 dead ones among them are always believed. Any thread may
    ask."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[bool]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self._lock = threading.Lock()

    def believes(self, application_id: str, channel_type: str, *, dead: bool) -> bool:
        """Take note of an attempt, and say whether its word on the address can be acted upon."""
        with self._lock:
            seen = self._seen[application_id, channel_type]
            seen.append(dead)
            count, among = sum(seen), len(seen)
        if not dead or not too_many(count, among):
            return dead
        if count == _AT_LEAST + 1 or count % 50 == 0:
            _log.error(
                "%d of the last %d addresses on channel %s of application %s look dead: none is "
                "deactivated until its credentials and environment were looked at",
                count,
                among,
                channel_type,
                application_id,
            )
        return False


def too_many(dead: int, among: int) -> bool:
    """Whether so many dead addresses among the last messages say more of us than of them."""
    return dead > _AT_LEAST and dead > _SHARE * among


def says_something(outcome: Outcome) -> bool:
    """Whether there is anything to carry over."""
    return bool(
        outcome.dead_address or outcome.updated_token or outcome.status is DeliveryStatus.OPT_OUT
    )


def follow(db: store.Database, sent: store.Claimed | store.Handed, outcome: Outcome) -> None:
    """Deactivate, opt out or update the endpoints with the address that a message went to.

    An opt-out also joins the suppression list, so that it holds for the bare address. The guard is
    the caller's to ask.
    """
    at = sent.application_id, sent.channel_type, sent.address
    if outcome.updated_token:
        changed = store.move_address(db, *at, to=outcome.updated_token)
        what = "updated"
    elif outcome.status is DeliveryStatus.OPT_OUT:
        store.add_opt_out(db, *at)
        changed = store.retire_address(db, *at, since=None, opted_out=True)
        what = "opted out"
    else:
        dead_since = outcome.dead_since
        since = None if dead_since is None else datetime.fromtimestamp(dead_since, UTC)
        changed = store.retire_address(db, *at, since=since)
        what = "deactivated"
    if changed:
        _log.info("%s %d endpoints message=%s", what, changed, sent.id)
