"""`sendpoint key`: who may call the API."""

from __future__ import annotations

import json
import re

import click

from worker import store
from worker.cli import session, show

_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")  # AWS: what a user may be called
_ACTIONS = ", ".join(store.Action)


def _actions(_: click.Context, __: click.Parameter, text: str) -> tuple[store.Action, ...]:
    """The actions that are listed, each once."""
    names = dict.fromkeys(part.strip().lower() for part in text.split(","))
    for name in names:
        if name not in set(store.Action):
            raise click.BadParameter(f"{name!r} is none of {_ACTIONS}")
    return tuple(map(store.Action, names))


@click.group()
def key() -> None:
    """Create, list and disable access keys, which callers need with SENDPOINT_AUTH=on."""


@key.command()
@click.argument("name")
@click.option(
    "--app", "applications", metavar="ID", multiple=True, help="Repeatable; else every application."
)
@click.option(
    "--allow",
    "actions",
    callback=_actions,
    default=",".join(store.Action),
    show_default=True,
    metavar="ACTION,...",
    help=f"Out of {_ACTIONS}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    name: str, applications: tuple[str, ...], actions: tuple[store.Action, ...], as_json: bool
) -> None:
    """Create a key for NAME and print its credentials, which are not shown again.

    AWS SDKs and the AWS CLI take the id and the secret as they take AWS's. Others send the token:
    `Authorization: Bearer TOKEN`.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError("NAME must have 1 to 64 letters, digits and +=,.@_-")
    with session.opened() as held:
        for one in applications:
            session.application(held.db, one)
        created = store.create_key(
            held.db, name, applications=applications or None, actions=actions
        )
    if as_json:
        told = {"Id": created.id, "Secret": created.secret, "Token": created.token}
        click.echo(json.dumps(told))
        return
    click.echo(f"Access key id      {created.id}")
    click.echo(f"Secret access key  {created.secret}")
    click.echo(f"Bearer token       {created.token}")
    click.echo("Keep the secret and the token safe: they are not shown again", err=True)


@key.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the keys, without their secrets."""
    with session.opened() as held:
        found = store.access_keys(held.db)
    if as_json:
        click.echo(json.dumps([_described(one) for one in found]))
        return
    rows = [
        (
            one.id,
            one.name,
            "enabled" if one.enabled else "disabled",
            ",".join(sorted(one.actions)),
            "all" if one.applications is None else ",".join(sorted(one.applications)),
            one.created_at.isoformat(timespec="seconds"),
        )
        for one in found
    ]
    show.table(("ID", "NAME", "STATE", "ALLOWED", "APPLICATIONS", "CREATED"), rows)


@key.command()
@click.argument("key_id", metavar="ID")
def disable(key_id: str) -> None:
    """Let nobody in with the key ID any more. Running processes follow within seconds."""
    with session.opened() as held:
        found = store.disable_key(held.db, key_id)
    if not found:
        raise click.ClickException(f"There is no key {key_id}: `sendpoint key list` shows them")
    show.say(f"{key_id} is disabled")


def _described(one: store.AccessKey) -> dict[str, object]:
    return {
        "Id": one.id,
        "Name": one.name,
        "Enabled": one.enabled,
        "Actions": sorted(one.actions),
        "Applications": None if one.applications is None else sorted(one.applications),
        "CreationDate": one.created_at.isoformat(timespec="milliseconds"),
    }
