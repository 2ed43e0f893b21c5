"""Delivering one message.

A delivery begins with a claim and ends with a record. Between the two the message is ours alone,
for as long as the lease holds; whatever goes wrong there, the row says that somebody has it, and
the sweep of some worker (`worker.sweeping`) takes it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Sequence
from uuid import UUID

from adapters.contract import Outcome
from worker import attempt, breaker, events, lifecycle, retry, store, telling
from worker.runtime import Runtime

_log = logging.getLogger(__name__)


async def deliver(runtime: Runtime, message_id: UUID, lane: Hashable = None) -> None:
    """Deliver one message if it is due and nobody else has it; else do nothing. If there is no
    place for its lane (see `worker.places`), it goes back as it is."""
    if runtime.draining or not runtime.places.take(lane):
        runtime.unanswered.append(message_id)
        return
    try:
        await _deliver(runtime, message_id, lane)
    finally:
        runtime.places.leave(lane)


async def _deliver(runtime: Runtime, message_id: UUID, lane: Hashable) -> None:
    try:
        claimed = await runtime.claims.put(message_id)
    except store.Unavailable:
        return  # the sweep rings again
    if claimed is None:
        return
    if runtime.draining:
        await _postpone(runtime, claimed, 0.0)
        return
    started = time.monotonic()
    came_to = await attempt.attempt(runtime, claimed)
    if isinstance(came_to, attempt.Held):
        if came_to.pause > 0:
            runtime.places.pause(lane, came_to.pause)
        await _postpone(runtime, claimed, came_to.seconds)
        return
    if isinstance(came_to, attempt.Lost):
        return
    if runtime.places.paused and not breaker.is_fault(came_to.outcome):
        runtime.places.go_on(lane)
    decision = _decide(runtime, claimed, came_to)
    told: Sequence[store.Event] = ()
    if decision.done:
        told = await telling.of_attempt(
            runtime,
            claimed,
            decision.outcome,
            message=came_to.message,
            settings=came_to.settings,
        )
    recorded = await _record(runtime, claimed, decision, came_to.provider, told)
    events.attempted(claimed, decision, seconds=time.monotonic() - started, recorded=recorded)
    await _follow(runtime, claimed, came_to.outcome)
    if came_to.one_time_code and decision.done and recorded:
        await _erase(runtime, claimed)


async def aclose(runtime: Runtime) -> None:
    """Close every adapter, on the loop that they belong to."""
    for adapter in runtime.channels.adapters():
        await adapter.aclose()


def _decide(runtime: Runtime, claimed: store.Claimed, came_to: attempt.Attempt) -> retry.Decision:
    return retry.decide(
        came_to.outcome,
        channel=claimed.channel_type,
        attempt=claimed.attempt,
        remaining=(claimed.expires_at - claimed.claimed_at).total_seconds(),
        policy=runtime.policy,
        rng=runtime.rng,
        one_time_code=came_to.one_time_code,
    )


async def _erase(runtime: Runtime, claimed: store.Claimed) -> None:
    """Keep the one-time code no longer than its message needs it. If this fails, it goes when it
    expires."""
    try:
        await runtime.sent_codes.put(claimed.request_id)
    except store.Unavailable:
        _log.warning("Message %s: its one-time code stays until it expires", claimed.id)


async def _record(
    runtime: Runtime,
    claimed: store.Claimed,
    decision: retry.Decision,
    provider: str | None,
    told: Sequence[store.Event],
) -> bool:
    """Write what the attempt came to. Once a provider has the message, losing the record is the
    worst that can happen, so this is tried for as long as the lease may hold."""
    outcome = decision.outcome
    finish = store.Finish(
        id=claimed.id,
        lease_token=claimed.lease_token,
        state=store.State.DONE if decision.done else store.State.QUEUED,
        provider=provider if decision.done or outcome.indeterminate else None,
        tried=provider,
        fault=outcome.fault,
        delivery_status=outcome.status,
        status_code=outcome.status_code,
        status_message=outcome.status_message,
        message_id=outcome.message_id,
        updated_token=outcome.updated_token,
        counted=decision.counted,
        delay=decision.delay,
        attempt=claimed.attempt,
        events=told,
    )
    return await _finish(runtime, finish)


async def _postpone(runtime: Runtime, claimed: store.Claimed, delay: float) -> None:
    """Give a message back that was not handed to a provider; the attempt does not count."""
    await _finish(
        runtime,
        store.Finish(
            id=claimed.id,
            lease_token=claimed.lease_token,
            state=store.State.QUEUED,
            provider=claimed.provider,
            counted=False,
            delay=delay,
        ),
    )


async def _finish(runtime: Runtime, finish: store.Finish) -> bool:
    give_up = time.monotonic() + runtime.settings.lease
    pause = 0.1
    while True:
        try:
            return await runtime.finishes.put(finish)
        except store.Unavailable:
            if time.monotonic() + pause > give_up:
                _log.error("Message %s: its result could not be recorded", finish.id)
                return False
        except Exception:  # noqa: BLE001 - the lease runs out, and the row says that it was sent
            _log.exception("Message %s: its result cannot be recorded", finish.id)
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


async def _follow(runtime: Runtime, claimed: store.Claimed, outcome: Outcome) -> None:
    """Carry over to endpoints what the outcome says of the address."""
    believed = runtime.guard.believes(
        claimed.application_id, claimed.channel_type, dead=outcome.dead_address
    )
    if not lifecycle.says_something(outcome) or (outcome.dead_address and not believed):
        return
    try:
        await asyncio.get_running_loop().run_in_executor(
            runtime.executor, lifecycle.follow, runtime.db, claimed, outcome
        )
    except store.Unavailable:
        _log.warning("Message %s: its endpoint could not be updated", claimed.id)
