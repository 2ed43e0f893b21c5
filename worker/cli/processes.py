"""`sendpoint worker` and `sendpoint sweep`: those who deliver and look after what is left."""

from __future__ import annotations

import socket

import click
import msgspec
from kombu.exceptions import OperationalError

from worker import plan, sweeping, tasks
from worker.cli import session, show
from worker.settings import Settings

_PREFIX = "sendpoint."
_PING_SECONDS = 3.0


def _queues(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Full names of queues that are given by their last part."""
    if text is None:
        return plan.QUEUES
    names = tuple(_PREFIX + part.strip().removeprefix(_PREFIX) for part in text.split(","))
    for name in names:
        if name not in plan.QUEUES:
            known = ", ".join(one.removeprefix(_PREFIX) for one in plan.QUEUES)
            raise click.BadParameter(f"{name.removeprefix(_PREFIX)!r} is none of {known}")
    return names


@click.command()
@click.option(
    "--queues", callback=_queues, metavar="NAME,...", help="Deliver these only (push,email,...)."
)
@click.option("--concurrency", type=click.IntRange(1), help="Messages in flight at once.")
@click.option("--ping", is_flag=True, help="Ask this host's running worker if it is well.")
def worker(queues: tuple[str, ...], concurrency: int | None, ping: bool) -> None:
    """Deliver messages until SIGTERM, then finish what is in flight. Run one for each core."""
    settings = session.load()
    session.require_shared_broker(settings)
    if ping:
        _ping(settings)
        return
    with session.opened(settings):
        pass  # to say what is wrong with the database before it is only a line in a log
    session.log(settings)
    if concurrency is not None:
        settings = msgspec.structs.replace(settings, concurrency=concurrency)
    tasks.run(settings, queues=queues)


@click.command()
def sweep() -> None:
    """Sweep once, as every worker does each second: expired, lost and due messages."""
    settings = session.load()
    session.log(settings)
    with session.opened(settings) as held:
        found = sweeping.sweep(held)
    show.say(
        f"Swept: {found.rung} rung for, {found.rescued} taken back from lost workers, "
        f"{found.expired} past their deadline"
    )
    if settings.embedded:
        show.say("Nobody hears rings with memory://; `sendpoint up` rings for itself", "yellow")


def _ping(settings: Settings) -> None:
    try:
        answers = tasks.celery_app(settings).control.inspect(timeout=_PING_SECONDS).stats()
    except OperationalError as error:
        raise ConnectionError(*error.args) from error
    here = f"@{socket.gethostname()}"
    silences = {
        name: told["pool"].get("silence") or 0.0
        for name, told in (answers or {}).items()
        if name.endswith(here)
    }
    if not silences:
        raise click.ClickException(f"No worker answers on this host ({here[1:]})")
    well = sorted(name for name, silence in silences.items() if silence < settings.stall_after)
    if not well:
        longest = max(silences.values())
        raise click.ClickException(f"The worker has heard no ring for {longest:.0f} seconds")
    show.say(f"{', '.join(well)}: well", "green")
