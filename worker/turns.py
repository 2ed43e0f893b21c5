"""A message's turn, under the limits that apply to it.

It is asked for once everything that a limit can be about is known, just before the message is
handed to its provider: a message that cannot be rendered or has no provider takes nothing from the
others.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from adapters import mime_raw
from adapters.contract import Adapter
from adapters.messages import Email, Message, RawEmail, Sms, Voice
from worker import events, limits, plan, store
from worker.runtime import Runtime
from worker.throttle import SECOND, Ask, Count

DOOR = 0.3
"""Seconds that a message may stand at the door, its turn taken: about as far apart as the sweep
rings. Without it, those that come in a bunch would leave their turns unused."""

_AT_ONCE = timedelta(seconds=0.01)


async def current(runtime: Runtime) -> limits.Limits:
    """The limits of all owners. `store.Unavailable` if they could never be read."""
    cached = runtime.rates.cached()
    return await runtime.limits.put(None) if cached is None else cached


async def take(
    runtime: Runtime,
    claimed: store.Claimed,
    provider: store.Provider,
    adapter: Adapter,
    message: Message,
    found: limits.Limits,
) -> float:
    """Take the message's turn, which may be some moments off, and return 0 when it has come; or
    how many seconds the message has to wait elsewhere before it asks again."""
    subject = limits.Subject(
        application_id=claimed.application_id,
        channel=claimed.channel_type,
        address=claimed.address,
        provider=provider.name,
        sender=lambda: _sender(message, adapter),
    )
    under = limits.of_message(found, subject) if found else ()
    if not under:
        return 0.0
    loop = asyncio.get_running_loop()
    waited = claimed.due_at - claimed.created_at > _AT_ONCE
    # Those at the door are in flight: they must leave most of the worker to others.
    door = DOOR if runtime.at_the_door < runtime.settings.concurrency // 4 else 0.0
    runtime.at_the_door += 1
    try:
        while True:
            asked = loop.time()
            ask = Ask(
                costs=[(Count(name, one.interval, one.burst), 1) for name, one in under],
                lane=int(claimed.queue == plan.PROMOTIONAL),
                waited=waited,
                patience=max(1, round(_left(claimed) * SECOND)),
                door=round(door * SECOND),
            )
            turn = await runtime.turns.put(ask)
            if not turn.taken:
                by = next(one for name, one in under if name == turn.held_by)
                events.held(claimed, by, seconds=turn.wait)
                return turn.wait
            if turn.wait <= 0:
                return 0.0
            await runtime.sleep(turn.wait)
            if loop.time() - asked < turn.wait + 1:
                return 0.0
            waited = True  # this process stood still meanwhile: the turn has gone by
    finally:
        runtime.at_the_door -= 1


def _left(claimed: store.Claimed) -> float:
    return (claimed.expires_at - claimed.claimed_at).total_seconds()


def _sender(message: Message, adapter: Adapter) -> str | None:
    """Who it is from: as the message says, else as the channel's settings do."""
    sender: str | None = None
    match message:
        case Sms():
            sender = message.origination_number or message.sender_id
        case Voice():
            sender = message.origination_number
        case Email():
            sender = message.from_address
        case RawEmail():
            sender = message.from_address or _written_sender(message.data)
    return sender or getattr(adapter, "sender", None)


def _written_sender(data: bytes) -> str | None:
    try:
        return mime_raw.sender_of(data)
    except ValueError:
        return None  # the adapter says what is wrong with it
