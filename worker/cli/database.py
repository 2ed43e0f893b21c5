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
def downgrade(revision: str) -> None:
    """Take the schema back to REVISION; `base` removes all tables and what is in them."""
    with session.unchecked() as held:
        store.downgrade(held.db, revision)
    show.say(f"The schema is at {revision}")


@db.command()
def status() -> None:
    """Say whether the schema is current; exit with 1 if it is not."""
    with session.opened():
        show.say("The schema is current", "green")
