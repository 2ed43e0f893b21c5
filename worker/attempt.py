"""One attempt at a message that is held: what is sent, by which provider, and what came of it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapters.contract import (
    Adapter,
    ChannelType,
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    temporary,
)
from adapters.messages import Message, Sms
from worker import events, limits, plan, render, retry, store, turns, wire
from worker.runtime import Runtime

_log = logging.getLogger(__name__)

_LOOK_AGAIN = 10.0
"""The most seconds that messages wait for a provider that is left alone: about as long as that they
wait after it is well again. Meanwhile nothing is asked of the database."""

_LOOK_AGAIN_LATER = 60.0
"""The same where others of their queue go on: then each that waits has to be held by itself."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it, the provider that it was about, if it came that far, and whether the
    message holds a one-time code; `message` is what was rendered, and `settings` are the
    provider's."""

    outcome: Outcome
    provider: str | None = None
    one_time_code: bool = False
    message: Message | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """No provider takes messages now, a limit lets no more through, or the lease is too short by
    now; ask again in so many seconds. None of its lane needs to ask for `pause` seconds."""

    seconds: float
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """The message is no longer ours to send."""


async def attempt(runtime: Runtime, claimed: store.Claimed) -> Attempt | Held | Lost:
    """Render a message and hand it to a provider. Whatever goes wrong on the way is an outcome."""
    try:
        message, code = await _render(runtime, claimed)
        channels = await _channels(runtime, claimed.application_id)
        found = await turns.current(runtime)
    except render.Unrenderable as error:
        return Attempt(permanent(error.code, error.text, fault=Fault.MESSAGE))
    except store.Unavailable:
        return Attempt(temporary(503, "The database did not answer"))
    except ValueError as error:
        _log.error("Application %s: %s", claimed.application_id, error)
        return Attempt(_WRONG_SETTINGS)
    except Exception:  # noqa: BLE001 - a message that breaks the renderer must not break the worker
        _log.exception("Message %s could not be rendered", claimed.id)
        return Attempt(permanent(500, "The message could not be rendered", fault=Fault.MESSAGE))
    channel = channels.get(claimed.channel_type)
    if channel is None:
        return Attempt(plan.not_enabled(claimed.channel_type, claimed.application_id))
    came_to = await _by_some_provider(runtime, claimed, channel.providers, message, found)
    return came_to if code is None else _without(code, came_to)


async def _by_some_provider(
    runtime: Runtime,
    claimed: store.Claimed,
    providers: Sequence[store.Provider],
    message: Message,
    found: limits.Limits,
) -> Attempt | Held | Lost:
    chosen = _choose(runtime, claimed, providers)
    if not isinstance(chosen, store.Provider):
        return chosen
    key = _key(claimed, chosen)
    try:
        adapter = _open(runtime, claimed, chosen)
    except ValueError as error:
        _log.error(
            "Provider %s on channel %s of application %s cannot be opened: %s",
            chosen.name,
            claimed.channel_type,
            claimed.application_id,
            error,
        )
        outcome = _WRONG_SETTINGS
    else:
        wait = await turns.take(runtime, claimed, chosen, adapter, message, found)
        if wait > 0:
            return Held(wait)
        if len(providers) > 1 and claimed.provider != chosen.name:
            assignment = store.Assignment(claimed.id, claimed.lease_token, chosen.name)
            try:
                held = await runtime.assignments.put(assignment)
            except store.Unavailable:
                return Attempt(temporary(503, "The database did not answer"))
            if not held:
                return Lost()
        timeout = _time_left(runtime, claimed)
        if timeout <= 0:
            # Something took so long that another may have it soon. If nobody has it yet, whoever
            # has more time is to send it: it was not handed over, whatever its channel.
            return Held(0.0)
        runtime.breakers.enter(key)
        outcome = await _send(runtime, claimed, adapter, message, timeout)
    if runtime.breakers.record(key, outcome):
        events.paused(claimed, chosen.name, outcome, seconds=runtime.breakers.wait(key))
    outcome = _second_chance(runtime, claimed, providers, outcome)
    return Attempt(outcome, chosen.name, message=message, settings=chosen.settings)


def _choose(
    runtime: Runtime, claimed: store.Claimed, providers: Sequence[store.Provider]
) -> store.Provider | Attempt | Held:
    """One of the providers whose breaker lets a message pass, by weight. A message that one of
    them may already have goes to that one and no other."""
    if claimed.provider is not None:
        providers = [one for one in providers if one.name == claimed.provider]
        if not providers:
            text = f"Provider {claimed.provider}, which may have the message, was removed"
            status = DeliveryStatus.UNKNOWN_FAILURE
            return Attempt(Outcome(status=status, status_code=500, status_message=text))
    if len(providers) == 1 and runtime.breakers.wait(_key(claimed, providers[0])) == 0:
        return providers[0]
    waits = {one.name: runtime.breakers.wait(_key(claimed, one)) for one in providers}
    free = [one for one in providers if waits[one.name] == 0]
    if not free:
        return _pause(runtime, claimed, min(waits.values()))
    weighted = [one for one in free if one.weight > 0]
    if not weighted:
        return free[0]
    return runtime.rng.choices(weighted, [one.weight for one in weighted])[0]


def _pause(runtime: Runtime, claimed: store.Claimed, seconds: float) -> Held:
    """Held until its providers may be asked again, and not for long: they may be well before. If
    nothing else of its queue can go either, the others need not be held each by itself."""
    queue = plan.QUEUE_OF.get(ChannelType(claimed.channel_type))
    channels = runtime.channels.cached(claimed.application_id) or {}
    alone = all(
        runtime.breakers.wait((claimed.application_id, name, one.name)) > 0
        for name, channel in channels.items()
        if plan.QUEUE_OF.get(ChannelType(name)) == queue
        for one in channel.providers
    )
    most = min(seconds, _LOOK_AGAIN if alone else _LOOK_AGAIN_LATER)
    # Those that are held together should not all come back together.
    return Held(most * runtime.rng.uniform(1.0, 1.5) + 0.1, pause=most if alone else 0.0)


def _second_chance(
    runtime: Runtime,
    claimed: store.Claimed,
    providers: Sequence[store.Provider],
    outcome: Outcome,
) -> Outcome:
    """A refusal for the sake of one provider's credentials is not final while there is another."""
    refused = outcome.status is DeliveryStatus.PERMANENT_FAILURE
    if not refused or outcome.fault is not Fault.CREDENTIALS or len(providers) < 2:
        return outcome
    if all(runtime.breakers.wait(_key(claimed, one)) > 0 for one in providers):
        return outcome
    return dataclasses.replace(outcome, status=DeliveryStatus.TEMPORARY_FAILURE)


def _time_left(runtime: Runtime, claimed: store.Claimed) -> float:
    """The seconds that a send may take: its usual time, and well before the lease ends."""
    margin = runtime.settings.lease * 0.1
    return min(runtime.settings.send_timeout, claimed.held_until - margin - time.monotonic())


async def _send(
    runtime: Runtime,
    claimed: store.Claimed,
    adapter: Adapter,
    message: Message,
    timeout: float,  # noqa: ASYNC109 - the adapter keeps it; this is only the net below
) -> Outcome:
    """Hand it to the adapter, which keeps to the deadline itself. An adapter that does not, or
    that raises against its contract, may have sent the message all the same."""
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
        # The watch looks once in half a second: a second after the deadline it is over.
        outcome = await runtime.watch.within(timeout + 0.5, adapter.send(delivery))
    except TimeoutError:
        outcome = indeterminate("The provider did not answer in time")
    except Exception:  # noqa: BLE001 - third parties write adapters
        _log.exception("Adapter %s broke its contract", type(adapter).__name__)
        outcome = indeterminate("The adapter failed", code=500)
    if outcome.indeterminate and claimed.channel_type in retry.AT_MOST_ONCE:
        return await _ask(runtime, adapter, delivery) or outcome
    return outcome


async def _ask(runtime: Runtime, adapter: Adapter, delivery: Delivery) -> Outcome | None:
    """Ask the provider what became of a message that must not be sent twice, if it can be asked.
    What is left of the lease after the send is enough for one question."""
    find = getattr(adapter, "find", None)
    if find is None:
        return None
    try:
        async with asyncio.timeout(runtime.settings.lease / 4):
            found: Outcome | None = await find(delivery)
    except TimeoutError:
        return None
    except Exception:  # noqa: BLE001 - third parties write adapters
        _log.exception("Adapter %s broke its contract", type(adapter).__name__)
        return None
    return found


async def _render(runtime: Runtime, claimed: store.Claimed) -> tuple[Message, str | None]:
    """What is sent, and the one-time code that is in it."""
    request = runtime.known(claimed.request_id)
    if request is None:
        request = await runtime.requests.put(claimed.request_id)
    if request is None:
        raise render.Unrenderable(500, "The request is not stored any more, or cannot be read")
    recipient = wire.decode(
        (claimed.configuration or "{}").encode(), wire.EndpointSendConfiguration
    )
    code = await _code(runtime, claimed) if request.OneTimeCode else None
    if code is not None:
        recipient = msgspec.structs.replace(recipient, Substitutions={"otp": [code]})
    message = render.render(
        ChannelType(claimed.channel_type),
        request,
        recipient,
        wire.decode(claimed.variables.encode(), dict) if claimed.variables else None,
        strict=runtime.settings.strict_variables,
    )
    if code is not None and isinstance(message, Sms):
        validity = (claimed.expires_at - claimed.created_at).total_seconds()
        message = dataclasses.replace(message, time_to_live=int(validity))
    return message, code


async def _code(runtime: Runtime, claimed: store.Claimed) -> str:
    """The one-time code that the message is to carry, if it is still good for anything."""
    sealed = await runtime.codes.put(claimed.request_id)
    if sealed is None:
        raise render.Unrenderable(410, "The one-time code is not valid any more")
    return store.open_code(runtime.db, claimed.request_id, sealed)


def _without(code: str, came_to: Attempt | Held | Lost) -> Attempt | Held | Lost:
    """What came of a message with a one-time code, which the provider's words may quote."""
    if not isinstance(came_to, Attempt):
        return came_to
    outcome = came_to.outcome
    text = re.sub(rf"(?<![0-9A-Za-z]){code}(?![0-9A-Za-z])", "***", outcome.status_message)
    outcome = dataclasses.replace(outcome, status_message=text)
    return dataclasses.replace(came_to, outcome=outcome, one_time_code=True)


async def _channels(runtime: Runtime, application_id: str) -> Mapping[str, store.Channel]:
    channels = runtime.channels.cached(application_id)
    if channels is None:
        read = await runtime.channel_settings.put(application_id)
        if isinstance(read, ValueError):
            raise read
        return read
    return channels


def _open(runtime: Runtime, claimed: store.Claimed, provider: store.Provider) -> Adapter:
    adapter, replaced = runtime.channels.open(
        claimed.application_id, claimed.channel_type, provider
    )
    if replaced is not None:
        asyncio.get_running_loop().call_later(
            runtime.settings.lease, lambda: asyncio.ensure_future(replaced.aclose())
        )
    return adapter


def _key(claimed: store.Claimed, provider: store.Provider) -> tuple[str, str, str]:
    return claimed.application_id, claimed.channel_type, provider.name


_WRONG_SETTINGS = temporary(500, "The channel's settings are wrong", fault=Fault.CREDENTIALS)
