"""`sendpoint send` and `sendpoint results`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import BinaryIO
from uuid import UUID

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from worker import intake, store, wire
from worker.cli import session, show
from worker.runtime import Runtime

_WRAPPED = ("MessageRequest", "request")


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--app", "application", metavar="ID", help="Needed if there are several.")
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Else SENDPOINT_WAIT.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Sent before with this key: nothing is sent."
)
@click.option("--json", "as_json", is_flag=True, help="Print Pinpoint's answer as JSON.")
def send(
    file: BinaryIO,
    application: str | None,
    wait: float | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Send the MessageRequest in FILE (- is stdin), JSON as in Pinpoint's API.

    Exits with 1 if any recipient failed for good. Messages are delivered by a running worker.
    """
    request = _request(file.read())
    with session.opened() as held:
        application_id = session.application(held.db, application)
        accepted = intake.accept(held, application_id, request, idempotency_key=idempotency_key)
        seconds = held.settings.wait if wait is None else wait
        with show.console().status("Waiting for the outcomes"):
            settled = intake.wait_until_settled(held, accepted.request_id, seconds)
        found = store.results(held.db, application_id, accepted.request_id)
        answer = intake.answer(held, application_id, accepted.request_id)
    if as_json:
        click.echo(wire.encode(answer))
    else:
        again = " (sent before, not again)" if accepted.repeated else ""
        show.say(f"Request {accepted.request_id}{again}")
        show.results(found)
        if not settled:
            show.say(_pending(accepted.request_id), "yellow")
    if _failed(found):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("request_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Wait until every outcome is final.")
def results(request_id: UUID, as_json: bool, watch: bool) -> None:
    """Show what became of a request by now."""
    with session.opened() as held:
        application_id = store.application_of(held.db, request_id)
        if application_id is None:
            raise click.ClickException(f"There is no request {request_id}")
        if watch:
            _watch(held, application_id, request_id)
        if as_json:
            click.echo(wire.encode(intake.outcomes(held, application_id, request_id)))
        elif not (watch and show.console().is_terminal):
            show.results(store.results(held.db, application_id, request_id))


def _request(body: bytes) -> wire.MessageRequest:
    """The request in a file: bare as on the wire, or inside what boto3 and our examples put
    around it."""
    value = wire.decode(body, dict)
    for name in _WRAPPED:
        if "MessageConfiguration" not in value and isinstance(value.get(name), dict):
            value = value[name]
    return wire.decode(wire.encode(value), wire.MessageRequest)


def _failed(found: Sequence[store.Result]) -> bool:
    return any(
        one.state == store.State.DONE and one.delivery_status in show.FAILED for one in found
    )


def _pending(request_id: UUID) -> str:
    return (
        "Accepted, but not all outcomes are known yet (is `sendpoint up` or a worker running?): "
        f"sendpoint results {request_id}"
    )


def _watch(held: Runtime, application_id: str, request_id: UUID) -> None:
    """Block until everything is settled, showing it on the way if somebody can see it."""
    out = show.console()
    seen = out.is_terminal
    with Live(console=out, auto_refresh=False) if seen else contextlib.nullcontext() as live:
        for pause in intake.pauses():
            found = store.results(held.db, application_id, request_id)
            if live is not None:
                drawn = show.drawn(show.RESULT_HEADERS, map(show.result, found))
                live.update(Group(Text(f"Request {request_id}"), drawn), refresh=True)
            if all(one.state == store.State.DONE for one in found):
                return
            time.sleep(pause)
