"""`sendpoint prune`: deleting what was settled long ago."""

from __future__ import annotations

from datetime import timedelta

import click

from worker import retention
from worker.cli import filters, session, show

_TELL_EVERY = 100  # batches


@click.command()
@click.option(
    "--older-than",
    "age",
    type=filters.Span(),
    help="Settled so long ago (30d); SENDPOINT_RETENTION, unless it is given.",
)
@click.option(
    "--yes/--dry-run",
    default=False,
    help="Delete them, or only count what would go. [default: dry-run]",
)
@click.option("--batch", type=click.IntRange(1, 5000), default=500, show_default=True)
def prune(age: timedelta | None, yes: bool, batch: int) -> None:
    """Delete requests whose messages were all settled long ago, with messages and attempts.

    A request goes as a whole: while one of its messages is to be sent, all of it stays. Deliveries
    go on meanwhile. What was interrupted is resumed by beginning again.
    """
    settings = session.load()
    age = timedelta(seconds=settings.retention) if age is None else age
    if not age:
        raise click.UsageError("Say with --older-than how old, or set SENDPOINT_RETENTION")
    if age.total_seconds() < settings.shortest_retention:
        raise click.UsageError(
            "Requests are kept for SENDPOINT_IDEMPOTENCY_WINDOW and SENDPOINT_DEDUPE_WINDOW, "
            f"{settings.shortest_retention:.0f} seconds: a repetition is known by them"
        )
    requests = messages = 0
    with session.opened(settings) as held:
        before = held.db.time() - age
        batches = retention.prune(held.db, before, size=batch, dry_run=not yes)
        for number, done in enumerate(batches, 1):
            requests += done.requests
            messages += done.messages
            if number % _TELL_EVERY == 0:
                click.echo(
                    f"{messages} messages so far, at {done.reached:%Y-%m-%d %H:%M}", err=True
                )
    what = f"{requests} requests with {messages} messages"
    when = before.isoformat(timespec="seconds")
    if yes:
        show.say(f"Deleted {what}, settled before {when}")
    else:
        show.say(f"{what}, settled before {when}, would be deleted: say --yes to do it", "yellow")
