"""`sendpoint failures`, `sendpoint why` and `sendpoint replay`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import click

from worker import replay as replay_
from worker import store, story, wire
from worker.cli import filters, session, show

_PAGE = 500
_READY = (store.Standing.READY,)


@click.command()
@filters.options
@click.option("--replayed/--not-replayed", default=None, help="Only those sent again, or not yet.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def failures(
    application: str | None, replayed: bool | None, limit: int, as_json: bool, **which: Any
) -> None:
    """List messages that failed for good, the latest first."""
    with session.opened() as held:
        wanted = filters.wanted(held.db, application, which)
        if replayed is not None:
            others = set(store.Standing) - {store.Standing.REPLAYED}
            wanted = replace(wanted, standing={store.Standing.REPLAYED} if replayed else others)
        found = itertools.islice(_failures(held.db, wanted), limit)
        if as_json:
            for one in found:
                click.echo(wire.encode(story.failure(one)))
            return
        show.table(_HEADERS, map(_line, found))


@click.command()
@click.argument("id_", metavar="ID", type=click.UUID)
@click.option("--to", "recipient", help="Of a request's recipients only this one.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def why(id_: UUID, recipient: str | None, as_json: bool) -> None:
    """Tell what happened to a message, step by step.

    ID is the message's own (`sendpoint failures` and the log have it) or a request's, for all of
    its messages.
    """
    with session.opened() as held:
        one = store.history(held.db, id_)
        found = [one] if one else store.histories(held.db, id_)
        now = held.db.time()
    if recipient is not None:
        found = [one for one in found if recipient in {one.address, one.endpoint_id, one.user_id}]
    if not found:
        raise click.ClickException(f"There is no message and no request {id_} with that recipient")
    for number, one in enumerate(found):
        if as_json:
            click.echo(wire.encode(story.history(one, now)))
            continue
        if number:
            show.say("")
        show.say(f"Message {one.id} of request {one.request_id}")
        show.say(f"{one.channel_type or 'No channel'} to {_recipient(one)}")
        show.table(
            ("WHEN", "WHAT", "BY", "STATUS", "CODE", "FAULT", "MESSAGE"),
            map(_step, story.steps(one, now)),
        )


@click.command()
@filters.options
@click.option("--yes", is_flag=True, help="Do it; without it only what would be done is told.")
@click.option(
    "--maybe-delivered",
    "unsure",
    is_flag=True,
    help="Also those that may have been delivered, at the risk of sending them twice.",
)
@click.option("--batch", type=click.IntRange(1, 5000), default=_PAGE, show_default=True)
def replay(application: str | None, yes: bool, unsure: bool, batch: int, **which: Any) -> None:
    """Send again what failed, once: tell how many there are, and with --yes do it.

    Each failed message is sent as a message of a new request, with all its attempts before it. Who
    has opted out since gets nothing. What was interrupted is resumed by beginning again.
    """
    with session.opened() as held:
        wanted = filters.wanted(held.db, application, which)
        counted = store.count_failures(held.db, wanted)
        show.table(("CHANNEL", "STATUS", "CODE", "COUNT", "REPLAY"), _plan(counted, unsure=unsure))
        ready = replay_.UNSURE if unsure else _READY
        total = sum(one.count for one in counted if one.standing in ready)
        if not yes:
            show.say(f"{total} would be sent again: say --yes to do it", "yellow")
            return
        done = replay_.Batch()
        patience = _Patience()
        for one in replay_.replay(held, wanted, unsure=unsure, size=batch, wait=patience):
            done += one
            click.echo(f"{done.total} of {total}", err=True)
    show.say(
        f"{done.sent} are sent again, {done.settled} were settled at once, {done.expired} were too "
        f"old, {done.taken} were sent again by somebody else, {done.gone} are not stored any more"
    )


class _Patience:
    """Waits until the workers have made room, and says so once."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, seconds: float) -> None:
        if not self._said:
            show.say(
                "Half of the backlog is taken: the rest goes as the workers make room", "yellow"
            )
        self._said = True
        time.sleep(seconds)


_HEADERS = (
    *("FAILED", "RECIPIENT", "CHANNEL", "PROVIDER", "STATUS", "CODE", "FAULT", "ATTEMPTS"),
    *("REPLAY", "MESSAGE ID", "MESSAGE"),
)


def _failures(db: store.Database, wanted: store.Wanted) -> Iterator[store.Failure]:
    """All of them, read page by page."""
    page = store.failures(db, wanted, size=_PAGE)
    while page:
        yield from page
        page = store.failures(db, wanted, size=_PAGE, after=page[-1].mark)


def _line(one: store.Failure) -> tuple[object, ...]:
    return (
        one.updated_at.isoformat(timespec="seconds"),
        _recipient(one),
        one.channel_type,
        one.provider,
        one.delivery_status,
        one.status_code,
        one.fault,
        one.attempt,
        one.standing.lower(),
        one.id,
        one.status_message,
    )


def _recipient(one: store.Failure | store.History) -> str:
    if one.endpoint_id is None:
        return one.address
    return f"{one.endpoint_id} ({one.address})" if one.address else one.endpoint_id


def _step(one: story.Step) -> tuple[object, ...]:
    return (
        one.at.isoformat(timespec="milliseconds") if one.at else None,
        one.what,
        one.provider,
        one.status,
        one.code,
        one.fault,
        one.text,
    )


_WORDS = {
    store.Standing.READY: "yes",
    store.Standing.UNSURE: "no, it may have been delivered (--maybe-delivered)",
    store.Standing.DELIVERED: "no, it was delivered after all",
    store.Standing.REPLAYED: "no, it was sent again before",
}


def _plan(counted: Sequence[store.Count], *, unsure: bool) -> Iterator[tuple[object, ...]]:
    words = {**_WORDS, store.Standing.UNSURE: "yes, at the risk of twice"} if unsure else _WORDS
    for one in counted:
        yield (
            one.channel_type,
            one.delivery_status,
            one.status_code,
            one.count,
            words[one.standing],
        )
