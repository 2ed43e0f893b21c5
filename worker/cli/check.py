"""`sendpoint check`: whether what is set up can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import click

from worker import plan, runtime, store
from worker.cli import session, show
from worker.runtime import Runtime

_SECONDS = 10.0


@click.command()
def check() -> None:
    """Try the database, the broker and every channel; exit with 1 if anything is wrong."""
    with session.unchecked() as held:
        found = list(_checks(held))
    show.table(("WHAT", "RESULT", "WHY"), [(what, "wrong" if why else "ok", why) for what, why in found])
    if any(why for _, why in found):
        raise click.exceptions.Exit(1)


def _checks(held: Runtime) -> Iterator[tuple[str, str | None]]:
    """What was tried, and what is wrong with it."""
    database = _problem(lambda: session.require_schema(held.db))
    yield "database", database
    yield "broker", _problem(lambda: held.rings.waiting(plan.QUEUES[0]))
    if database is not None:
        return
    for application in store.applications(held.db):
        for name, one in sorted(store.channels(held.db, application.id).items()):
            what = f"{name} of {application.name} ({one.adapter})"
            yield what, asyncio.run(_adapter(one)) if one.enabled else None


def _problem(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except click.ClickException as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return session.explain(error)
    return None


async def _adapter(one: store.Channel) -> str | None:
    """What is wrong with a channel. An adapter may have a check of its own, which asks its
    provider: `async check(timeout: float) -> str | None`, None if all is well."""
    try:
        adapter = runtime.build(one.adapter, one.settings)
        ask = getattr(adapter, "check", None)
        try:
            async with asyncio.timeout(_SECONDS + 1):
                said: str | None = await ask(_SECONDS) if ask is not None else None
                return said
        finally:
            await adapter.aclose()
    except TimeoutError:
        return f"No answer in {_SECONDS:.0f} seconds"
    except Exception as error:  # noqa: BLE001 - third parties write adapters
        return session.explain(error)
