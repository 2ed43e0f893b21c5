"""`sendpoint providers`: doubles of every provider, to try each channel without an account."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker import store
from worker.cli import session, show

if TYPE_CHECKING:
    from adapters.doubles.plays import Received
    from adapters.doubles.stand import Stand

PROVIDER = "double"
"""What the doubles are called among a channel's providers."""


@click.command()
@click.option(
    "--app", "application", help="Send this application's messages to the doubles meanwhile."
)
@click.option("--keep", is_flag=True, help="Leave the application's settings at the end.")
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Create this file once everything listens.",
)
def providers(application: str | None, keep: bool, ready_file: Path | None) -> None:
    """Run a double of every provider on this machine until Ctrl-C, and show what each receives.

    They speak the providers' own protocols, refuse what the providers refuse, and hand nothing to
    anybody. Magic recipients (adapters/magic.py) get a failure in the provider's words. For
    development; an application that has providers of its own is not touched.
    """
    if application is None:
        asyncio.run(_run(lambda _: contextlib.nullcontext(), ready_file))
    else:
        with session.opened() as held:
            session.application(held.db, application)
            _refuse_own_providers(held.db, application)
            used = functools.partial(_used, held.db, application, keep=keep)
            asyncio.run(_run(used, ready_file))
    show.say("Stopped")


async def _run(
    used: Callable[[Stand], AbstractContextManager[None]], ready_file: Path | None
) -> None:
    """Run the doubles until a signal comes. Their settings are in use for the block of `used`."""
    from adapters.doubles.stand import stand  # noqa: PLC0415  # slow, and no other command's

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with stand(_show) as channels:
        with used(channels):
            _welcome(channels, ready_file)
            await stopped.wait()


def _welcome(channels: Stand, ready_file: Path | None) -> None:
    rows = [(name, one.adapter, one.at) for name, one in channels.items()]
    show.table(("TYPE", "ADAPTER", "LISTENS AT"), rows)
    show.say("Ctrl-C stops them", "dim")
    if ready_file is not None:
        ready_file.touch()


def _refuse_own_providers(db: store.Database, application: str) -> None:
    """Doubles beside real providers would get a part of the real messages."""
    own = sorted(
        name
        for name, one in store.channels(db, application).items()
        if {provider.name for provider in one.providers} - {PROVIDER}
    )
    if own:
        raise click.ClickException(
            f"The application {application} has settings of its own for {', '.join(own)}: "
            "try with another, `sendpoint app create trial`"
        )


@contextlib.contextmanager
def _used(db: store.Database, application: str, channels: Stand, *, keep: bool) -> Iterator[None]:
    """The application sends to the doubles for the length of the block, or from now on.

    Channels that were there without a provider, as an import leaves them, are so again afterwards.
    """
    before = store.channels(db, application)
    bare = {name for name, one in before.items() if not one.providers}
    for name, one in channels.items():
        store.set_channel(
            db,
            application,
            name,
            adapter=one.adapter,
            settings=one.settings,
            name=PROVIDER,
            enabled=name not in before or before[name].enabled,
        )
    show.say(f"The application {application} sends to these:")
    try:
        yield
    finally:
        if not keep:
            for name in channels:
                if name in bare:
                    store.remove_provider(db, application, name, PROVIDER)
                else:
                    store.delete_channel(db, application, name)


def _show(received: Received) -> None:
    good = received.outcome.startswith("2")
    line = f"{received.channel:<7} {_masked(received.address):<12} {received.outcome}"
    show.say(line, "green" if good else "yellow")


def _masked(address: str) -> str:
    """Enough to know one's own by, and no more."""
    return f"{address[:4]}***{address[-2:]}" if len(address) > 8 else "***"
