"""`sendpoint db`: the schema's life."""

from __future__ import annotations

import click

from worker import store
from worker.cli import session, show


@click.group()
def db() -> None:
    """Create, upgrade and examine the database's schema."""


@db.command()
def upgrade() -> None:
    """Bring the schema to this version. Safe to repeat, and from several machines at once."""
    with session.unchecked() as held:
        session.upgrade(held.db)
    show.say("The schema is current")


@db.command()
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do it; without it only what would be lost is told.")
def downgrade(revision: str, yes: bool) -> None:
    """Take the schema back to REVISION; `base` removes all tables.

    What is in the tables and columns of later revisions is lost. Stop every process first.
    """
    with session.unchecked() as held:
        undone = store.undone_by(held.db, revision)
        if yes:
            store.downgrade(held.db, revision)
    if yes or not undone:
        show.say(f"The schema is at {revision}")
        return
    show.table(("REVISION", "OF"), undone.items())
    show.say("These would be undone, and what is in them lost: say --yes to do it", "yellow")


@db.command()
def status() -> None:
    """Say whether the schema is current; exit with 1 if it is not."""
    with session.opened():
        show.say("The schema is current", "green")
