"""`sendpoint secrets`: the keys that seal the credentials in the database."""

from __future__ import annotations

import click

from worker import store, vault
from worker.cli import session, show


@click.group()
def secrets() -> None:
    """Make and change the keys that encrypt credentials in the database."""


@secrets.command(name="new-key")
def new_key() -> None:
    """Print a new key for SENDPOINT_SECRET_KEYS. Whoever has it can read the credentials."""
    click.echo(vault.new_key())


@secrets.command()
def rotate() -> None:
    """Encrypt again, with the first key, what another one encrypted.

    To change keys: put the new key in front of the old in SENDPOINT_SECRET_KEYS, separated by a
    comma, and restart every process; run this; take the old key out, an hour later if one-time
    codes are sent: those that are good still need it.
    """
    with session.opened() as held:
        channels, keys = store.seal_again(held.db), store.seal_keys_again(held.db)
    show.say(
        f"{channels} channel settings were encrypted again with the first key, "
        f"and so were {keys} access keys"
    )
