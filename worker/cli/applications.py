"""`sendpoint app`: the applications, which Pinpoint's console calls projects."""

from __future__ import annotations

import json
import re

import click

from worker import store
from worker.cli import session, show

_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST = 64


@click.group()
def app() -> None:
    """Create and list applications (Pinpoint's projects)."""


@app.command()
@click.argument("name")
@click.option("--id", "application_id", help="32 lower-case hex digits; else drawn at random.")
def create(name: str, application_id: str | None) -> None:
    """Create an application and print its id. To keep callers unchanged, give Pinpoint's id."""
    if not 0 < len(name) <= _LONGEST:
        raise click.UsageError(f"NAME must have 1 to {_LONGEST} characters")
    if application_id is not None and not _ID.fullmatch(application_id):
        raise click.UsageError("--id must be 32 lower-case hex digits")
    with session.opened() as held:
        if application_id is not None and store.has_application(held.db, application_id):
            raise click.ClickException(f"There is an application {application_id} already")
        created = store.create_application(held.db, name, application_id=application_id)
    click.echo(created.id)


@app.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the applications."""
    with session.opened() as held:
        found = store.applications(held.db)
    if as_json:
        click.echo(json.dumps([{"Id": one.id, "Name": one.name} for one in found]))
    else:
        show.table(("ID", "NAME"), [(one.id, one.name) for one in found])
