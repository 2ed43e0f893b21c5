"""Delivering one message, and sweeping up after those that could not be.

A delivery begins with a claim and ends with a record. Between the two the message is ours alone,
for as long as the lease holds; whatever goes wrong there, the row says that somebody has it, and
the sweep of some worker takes it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from uuid import UUID

from adapters.contract import (
    Adapter,
    ChannelType,
    Delivery,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    temporary,
)
from adapters.messages import Message
from worker import events, plan, render, retry, store, wire
from worker.runtime import Runtime

_log = logging.getLogger(__name__)


async def deliver(runtime: Runtime, message_id: UUID) -> None:
    """Deliver one message if it is due and nobody else has it; else do nothing."""
    if runtime.draining:
        runtime.unanswered.append(message_id)
        return
    claimed = await runtime.claims.put(message_id)
    if claimed is None:
        return
    wait = await runtime.throttle.hold(claimed)
    if wait > 0 or runtime.draining:
        await _postpone(runtime, claimed, wait)
        return
    started = time.monotonic()
    outcome = await _attempt(runtime, claimed)
    decision = _decide(runtime, claimed, outcome)
    recorded = await _record(runtime, claimed, decision)
    events.attempted(claimed, decision, seconds=time.monotonic() - started, recorded=recorded)
    return


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: messages it rang for, took back from a lost worker, or closed."""

    rung: int
    rescued: int
    expired: int


def sweep(runtime: Runtime) -> Swept:
    """One round over what was left behind: messages whose worker is gone, messages whose deadline
    passed, and messages that are due and not rung."""
    db, settings = runtime.db, runtime.settings
    rescued = store.rescue(db, at_most_once=retry.AT_MOST_ONCE, max_attempts=settings.max_attempts)
    expired = store.expire(db)
    rung = 0
    for queue in plan.QUEUES:
        try:
            room = settings.window - runtime.rings.waiting(queue)
        except ConnectionError:
            break  # nobody to ring for; the rows wait
        if room > 0:
            due = store.due(db, queue, limit=room, again_after=settings.ring_again_after)
            if not runtime.rings.ring(due):
                store.unring(db, [one.id for one in due])
            rung += len(due)
    events.swept(rung=rung, rescued=rescued, expired=expired)
    return Swept(rung, rescued, expired)


async def keep_sweeping(runtime: Runtime) -> None:
    """Sweep until cancelled. A sweep that fails is tried again; it left nothing half done."""
    loop = asyncio.get_running_loop()
    while True:
        # Workers that started together should not sweep together.
        await asyncio.sleep(runtime.settings.sweep_interval * runtime.rng.uniform(0.5, 1.0))
        try:
            await loop.run_in_executor(runtime.executor, sweep, runtime)
        except store.Unavailable:
            _log.warning("The sweep could not reach the database; it is tried again")
        except Exception:  # noqa: BLE001 - everything falls back on the sweep: it must go on
            _log.exception("The sweep failed; it is tried again")


async def aclose(runtime: Runtime) -> None:
    """Close every adapter, on the loop that they belong to."""
    for adapter in runtime.channels.adapters():
        await adapter.aclose()


async def _attempt(runtime: Runtime, claimed: store.Claimed) -> Outcome:
    """Render and send. Whatever is raised on the way is an outcome here."""
    try:
        message = await _render(runtime, claimed)
        adapter = await _adapter(runtime, claimed)
    except render.Unrenderable as error:
        return permanent(error.code, error.text, fault=Fault.MESSAGE)
    except _NotEnabled:
        return plan.not_enabled(claimed.channel_type, claimed.application_id)
    except ValueError as error:
        _log.error(
            "Channel %s of application %s cannot be opened: %s",
            claimed.channel_type,
            claimed.application_id,
            error,
        )
        return temporary(500, "The channel's settings are wrong", fault=Fault.CREDENTIALS)
    except store.Unavailable:
        return temporary(503, "The database did not answer", fault=Fault.PROVIDER)
    except Exception:  # noqa: BLE001 - a message that breaks the renderer must not break the worker
        _log.exception("Message %s could not be rendered", claimed.id)
        return permanent(500, "The message could not be rendered", fault=Fault.MESSAGE)
    return await _send(runtime, claimed, adapter, message)


async def _send(
    runtime: Runtime, claimed: store.Claimed, adapter: Adapter, message: Message
) -> Outcome:
    """Hand it to the adapter, which keeps to the deadline itself. An adapter that does not, or
    that raises against its contract, may have sent the message all the same."""
    timeout = runtime.settings.send_timeout
    delivery = Delivery(
        id=str(claimed.id),
        application_id=claimed.application_id,
        request_id=str(claimed.request_id),
        channel=ChannelType(claimed.channel_type),
        address=claimed.address,
        message=message,
        attempt=claimed.attempt,
        age=(claimed.claimed_at - claimed.created_at).total_seconds(),
        timeout=timeout,
    )
    try:
        async with asyncio.timeout(timeout + 1):
            return await adapter.send(delivery)
    except TimeoutError:
        return indeterminate("The provider did not answer in time")
    except Exception:  # noqa: BLE001 - third parties write adapters
        _log.exception("Adapter %s broke its contract", type(adapter).__name__)
        return indeterminate("The adapter failed", code=500)


async def _render(runtime: Runtime, claimed: store.Claimed) -> Message:
    request = runtime.known(claimed.request_id)
    if request is None:
        request = await runtime.requests.put(claimed.request_id)
    if request is None:
        raise render.Unrenderable(500, "The request is not stored any more")
    return render.render(
        ChannelType(claimed.channel_type),
        request,
        wire.decode((claimed.configuration or "{}").encode(), wire.EndpointSendConfiguration),
        wire.decode(claimed.variables.encode(), dict) if claimed.variables else None,
    )


class _NotEnabled(Exception):
    """The channel was taken away after the message was accepted."""


async def _adapter(runtime: Runtime, claimed: store.Claimed) -> Adapter:
    channels = runtime.channels.cached(claimed.application_id)
    if channels is None:
        loop = asyncio.get_running_loop()
        channels = await loop.run_in_executor(
            runtime.executor, runtime.channels.of, claimed.application_id
        )
    channel = channels.get(claimed.channel_type)
    if channel is None:
        raise _NotEnabled
    adapter, replaced = runtime.channels.open(claimed.application_id, channel)
    if replaced is not None:
        asyncio.get_running_loop().call_later(
            runtime.settings.lease, lambda: asyncio.ensure_future(replaced.aclose())
        )
    return adapter


def _decide(runtime: Runtime, claimed: store.Claimed, outcome: Outcome) -> retry.Decision:
    return retry.decide(
        outcome,
        channel=claimed.channel_type,
        attempt=claimed.attempt,
        remaining=(claimed.expires_at - claimed.claimed_at).total_seconds(),
        policy=runtime.policy,
        rng=runtime.rng,
    )


async def _record(runtime: Runtime, claimed: store.Claimed, decision: retry.Decision) -> bool:
    """Write what the attempt came to. Once a provider has the message, losing the record is the
    worst that can happen, so this is tried for as long as the lease may hold."""
    outcome = decision.outcome
    finish = store.Finish(
        id=claimed.id,
        lease_token=claimed.lease_token,
        state=store.State.DONE if decision.done else store.State.QUEUED,
        delivery_status=outcome.status,
        status_code=outcome.status_code,
        status_message=outcome.status_message.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        message_id=outcome.message_id,
        updated_token=outcome.updated_token,
        counted=decision.counted,
        delay=decision.delay,
        attempt=claimed.attempt,
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
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)
