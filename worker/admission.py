"""Whether a request is let in: the rates of its caller and its application, and whether there is
room for what it would leave waiting.

Pinpoint: TooManyRequestsException, 429. Nothing of such a request is stored.
"""

from __future__ import annotations

from collections.abc import Collection

from worker import events, limits, wire
from worker.runtime import Runtime
from worker.throttle import Ask, Count

_NAMES = {limits.REQUESTS: "requests", limits.RECIPIENTS: "recipients"}


def take_turn(runtime: Runtime, application_id: str, caller: str, recipients: int) -> None:
    """Count a request that names so many recipients. Raises `TooManyRequests` if that is more than
    a limit of its caller or its application lets through now; then it counts nowhere."""
    found = runtime.rates.current()
    under = limits.of_request(found, application_id, caller, recipients) if found else ()
    if not under:
        return
    costs = [(Count(name, one.interval, one.burst), cost) for name, one, cost in under]
    (turn,) = runtime.throttle.ask([Ask(costs=costs, queues=False)])
    if not turn.taken:
        by = next(one for name, one, _ in under if name == turn.held_by)
        events.refused(application_id, by.what, by.owner, seconds=turn.wait)
        raise wire.TooManyRequests(
            f"More {_NAMES[by.what]} than {by.rate}; try again later", retry_after=turn.wait
        )


def require_room(runtime: Runtime, application_id: str, queues: Collection[str]) -> None:
    """Raises `TooManyRequests` if as many of the application's messages as may wait do so on one of
    these queues. A request that is let in is stored whole, even if that is somewhat too many."""
    most = _most(runtime, application_id)
    if not most:
        return
    for queue in queues:
        seconds = runtime.backlogs.full_for(application_id, queue, most)
        if seconds > 0:
            events.refused(application_id, limits.BACKLOG, queue, seconds=seconds)
            raise wire.TooManyRequests(
                f"{most} messages that were accepted before are still to be sent; try again later",
                retry_after=seconds,
            )


def room_to_replay(runtime: Runtime, application_id: str, queues: Collection[str]) -> float:
    """0 if less than half of what may wait does so on each of these queues, else in how many
    seconds it is worth asking again. The other half is for what comes now."""
    most = _most(runtime, application_id)
    if not most:
        return 0.0
    half = max(1, most // 2)
    waits = [runtime.backlogs.full_for(application_id, queue, half) for queue in queues]
    return max(waits, default=0.0)


def _most(runtime: Runtime, application_id: str) -> int:
    return limits.backlog(runtime.rates.current(), application_id, runtime.settings.backlog)
