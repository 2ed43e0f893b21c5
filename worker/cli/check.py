"""`sendpoint check`: whether what is set up works."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import click

from worker import channels, plan, presence, sinks, store
from worker.cli import session, show
from worker.runtime import Runtime

_SECONDS = 10.0
_OK, _WRONG = "ok", "wrong"
_NO_PROVIDER = "It has no provider: `sendpoint channel set {} {} ADAPTER`"
_NO_WORKER = "What is accepted waits until there is one: `sendpoint worker`, or `sendpoint up`"
_NOWHERE = "It has an event stream, but SENDPOINT_EVENTS says nowhere to tell it"


@click.command()
def check() -> None:
    """Try the database, the broker, the sink of events and every channel, and count the workers;
    exit with 1 if anything is wrong."""
    with session.unchecked() as held:
        findings = list(_findings(held))
    show.table(("WHAT", "RESULT", "WHY"), findings)
    if any(result == _WRONG for _, result, _ in findings):
        raise click.exceptions.Exit(1)


def _findings(held: Runtime) -> Iterator[tuple[str, str, str]]:
    """What was tried, how it went, and what there is to say of it."""
    database = _found(lambda: session.require_schema(held.db))
    yield "database", *database
    yield "broker", *_found(lambda: held.rings.waiting(plan.QUEUES[0]))
    if held.sink is not None:
        yield "events", *_found(functools.partial(asyncio.run, _sink(held.sink)))
    if database[0] == _WRONG:
        return
    yield "limits", *_limits(held)
    workers = presence.count(held.db)
    yield "workers", *((_OK, f"{workers} running") if workers else ("none", _NO_WORKER))
    for application in store.applications(held.db):
        if held.sink is None and store.find_event_stream(held.db, application.id) is not None:
            yield f"events of {application.name}", _WRONG, _NOWHERE
        try:
            found = store.channels(held.db, application.id)
        except ValueError as error:
            yield f"channels of {application.name}", _WRONG, str(error)
            continue
        for name, one in sorted(found.items()):
            yield from _channel(held, application, name, one)


def _channel(
    held: Runtime, application: store.Application, name: str, one: store.Channel
) -> Iterator[tuple[str, str, str]]:
    """What there is to say of a channel, or of each of its providers."""
    if one.enabled and not one.providers:
        result = "sandbox" if held.settings.sandbox else _WRONG
        yield f"{name} of {application.name}", result, _NO_PROVIDER.format(application.id, name)
    for provider in one.providers:
        found = asyncio.run(_provider(provider)) if one.enabled else ("disabled", "")
        yield f"{name} of {application.name} ({provider.name}: {provider.adapter})", *found


def _limits(held: Runtime) -> tuple[str, str]:
    """Whether what counts the limits does so, and who does it."""
    number = len(store.limits(held.db))
    result, why = _found(held.throttle.probe)
    if result == _WRONG:
        return result, why
    if not number:
        return _OK, "None are set"
    return (
        _OK,
        f"{number} set, counted {'in Redis' if held.throttle.is_shared else 'by each worker'}",
    )


def _found(attempt: Callable[[], object]) -> tuple[str, str]:
    try:
        attempt()
    except click.ClickException as error:
        return _WRONG, error.message
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return _WRONG, session.explain(error)
    return _OK, ""


async def _sink(sink: sinks.Sink) -> None:
    try:
        async with asyncio.timeout(_SECONDS + 1):
            await sink.check()
    except (sinks.NotTaken, TimeoutError) as trouble:
        why = (
            trouble
            if isinstance(trouble, sinks.NotTaken)
            else f"No answer in {_SECONDS:.0f} seconds"
        )
        raise click.ClickException(f"{why}; check SENDPOINT_EVENTS") from None
    finally:
        await sink.aclose()


async def _provider(one: store.Provider) -> tuple[str, str]:
    """Build the adapter. It may have a check of its own, which asks its provider:
    `async check(timeout: float) -> str | None`, seconds to what is wrong or None."""
    try:
        adapter = channels.build(one.adapter, one.settings)
        ask = getattr(adapter, "check", None)
        try:
            if (soon := channels.expiry(adapter, datetime.now(UTC))) is not None:
                return _WRONG, soon
            if ask is None:
                return _OK, "The settings are valid; the provider was not asked"
            async with asyncio.timeout(_SECONDS + 1):
                wrong = await ask(_SECONDS)
            return (_WRONG, wrong) if wrong else (_OK, "")
        finally:
            await adapter.aclose()
    except TimeoutError:
        return _WRONG, f"No answer in {_SECONDS:.0f} seconds"
    except Exception as error:  # noqa: BLE001 - third parties write adapters
        return _WRONG, session.explain(error)
