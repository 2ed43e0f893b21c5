"""`sendpoint rate`: how fast messages go out, and how fast they are accepted."""

from __future__ import annotations

import json

import click

from worker import limits, rates, store
from worker.cli import session, show

_SEEN = rates.FRESH + 2.0  # seconds until every process goes by a change


@click.group()
def rate() -> None:
    """Limit how fast messages go out and how fast they are accepted.

    OWNER is an application, or * for what all applications share; for intake:requests and
    intake:recipients also an access key. WHAT is one of

    \b
      all                  every message
      email, sms, push, …  those of a channel; push is all push channels together
      provider[:NAME]      those that a provider gets
      sender[:SENDER]      those from a FromAddress, OriginationNumber or SenderId
      recipient            those to one address
      domain[:DOMAIN]      those to one email domain
      intake:requests      requests of one caller
      intake:recipients    recipients in the requests of one caller
      backlog              messages that wait on one queue, at most; a number and no rate

    Without a name, a limit holds for each provider, sender, recipient, domain or caller by itself.
    """  # noqa: D301 - click wants the character that the escape stands for


@rate.command(
    name="set",
    epilog="Examples: sendpoint rate set $APP email 50/s --burst 100; "
    "sendpoint rate set $APP recipient 5/h; sendpoint rate set '*' domain:gmail.com 20/s",
)
@click.argument("owner")
@click.argument("what")
@click.argument("rate_text", metavar="RATE")
@click.option(
    "--burst",
    type=click.IntRange(1, limits.LARGEST_BURST),
    help="How many may go at once after a pause; else as many as RATE names.",
)
def set_(owner: str, what: str, rate_text: str, burst: int | None) -> None:
    """Limit WHAT of OWNER to RATE, in place of the limit that was there.

    RATE is 50/s, 300/m, 5/h, 1000/d or 10/30s. Running processes follow within seconds, and
    messages that wait get new places.
    """
    try:
        what = limits.what(what)
        if what == limits.BACKLOG:
            each, most = None, _bound(rate_text, burst)
        else:
            each = limits.rate(rate_text)
            most = burst or limits.default_burst(what, each)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    least = limits.least_burst(what)
    if what != limits.BACKLOG and most < least:
        raise click.UsageError(
            f"--burst must be {least} at least for {what}: a request has as many"
        )
    with session.opened() as held:
        _require_owner(held.db, owner, what)
        store.set_limit(held.db, owner, what, each, most)
        _call_up(held.db, owner, what)


@rate.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the limits."""
    with session.opened() as held:
        found = store.limits(held.db)
        names = {one.id: one.name for one in store.applications(held.db)}
        names |= {one.id: one.name for one in store.access_keys(held.db)}
    if as_json:
        click.echo(json.dumps([_described(one) for one in found]))
        return
    rows = [
        (
            one.owner,
            "everybody" if one.owner == limits.EVERYBODY else names.get(one.owner, "(deleted)"),
            one.what,
            one.rate,
            one.burst,
        )
        for one in found
    ]
    show.table(("OWNER", "NAME", "WHAT", "RATE", "BURST"), rows)


@rate.command()
@click.argument("owner")
@click.argument("what")
def remove(owner: str, what: str) -> None:
    """Remove the limit on WHAT of OWNER. Messages that wait for it go as soon as they may."""
    try:
        what = limits.what(what)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with session.opened() as held:
        if not store.remove_limit(held.db, owner, what):
            raise click.ClickException(
                f"{owner} has no limit on {what}: `sendpoint rate list` shows those there are"
            )
        _call_up(held.db, owner, what)


def _bound(text: str, burst: int | None) -> int:
    if burst is not None:
        raise ValueError("A backlog has no burst")
    if not (text.isascii() and text.isdigit() and int(text) <= limits.LARGEST_BURST):
        raise ValueError(f"{text!r} is no bound: a number of messages up to 10000000 is, or 0")
    return int(text)


def _require_owner(db: store.Database, owner: str, what: str) -> None:
    if owner == limits.EVERYBODY or store.has_application(db, owner):
        return
    if not any(one.id == owner for one in store.access_keys(db)):
        raise click.ClickException(
            f"There is neither an application {owner} nor a key: `sendpoint app list` and "
            "`sendpoint key list` show those there are; * is everybody"
        )
    if what not in limits.INTAKE:
        raise click.UsageError(f"A key can be limited in {' and '.join(limits.INTAKE)} only")


def _call_up(db: store.Database, owner: str, what: str) -> None:
    """Have those who wait for a place ask again, once every process goes by the change."""
    if what in {limits.BACKLOG, *limits.INTAKE}:
        return
    owners = [owner]
    if owner == limits.EVERYBODY:
        owners = [one.id for one in store.applications(db)]
    called = 0
    for one in owners:
        while found := store.call_up(db, one, after=_SEEN):
            called += found
    if called:
        show.say(f"{called} messages that wait get new places in {_SEEN:.0f} seconds")


def _described(one: limits.Limit) -> dict[str, object]:
    return {
        "Owner": one.owner,
        "What": one.what,
        "Rate": None if one.rate is None else str(one.rate),
        "Burst": one.burst,
    }
