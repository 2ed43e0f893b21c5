"""`sendpoint import-from-pinpoint`: what people saved of Pinpoint before its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from worker import importing
from worker.cli import session, show

_KINDS = ("application", "channel", "template", "endpoint", "opt-out", "file")
_SHOWN = 20
_AGAIN = "Interrupted. Run the same command again: it goes on, and comes to the same."


@click.command(name="import-from-pinpoint")
@click.argument(
    "paths",
    metavar="DIR|FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--app", "application", metavar="ID", help="For endpoints that name no application.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what came of it to this file, as JSON.",
)
def import_from_pinpoint(
    paths: tuple[Path, ...], application: str | None, dry_run: bool, report_file: Path | None
) -> None:
    """Take over what was saved of Pinpoint: applications with their ids, channels, templates,
    endpoints and opt-outs.

    Reads outputs of the AWS CLI, dumps of boto3, bodies of the REST API, and segments as JSON or
    CSV, gzipped or not, and tells them apart by what is in them. What the database has and the
    files do not, stays; so does what is newer there. Interrupted, it goes on when it is run again.

    Exits with 1 if anything was not taken over that somebody should look at.
    """
    report = importing.Report(dry_run=dry_run)
    with session.opened() as held:
        try:
            with _watched() as watch:
                importing.run(held.db, paths, report, application_id=application, watch=watch)
        except KeyboardInterrupt:
            show.say(_AGAIN, "yellow")
        finally:
            if report_file is not None:
                report_file.write_text(json.dumps(_told(report), indent=2) + "\n", encoding="utf-8")
    _print(report)
    if report.attention or not report.complete:
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _watched() -> Iterator[importing.Watch]:
    """Shows how far it is: a bar on a terminal, else a line at each tenth."""
    out = show.console()
    if not out.is_terminal:
        said: set[tuple[str, int]] = set()

        def tell(what: str, done: int, total: int) -> None:
            tenth = min(done * 10 // total, 10) if total else 10
            if tenth and (what, tenth) not in said:
                said.add((what, tenth))
                show.say(f"{what}: {tenth * 10} %")

        yield tell
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=out) as progress:
        tasks: dict[str, TaskID] = {}

        def draw(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield draw


def _print(report: importing.Report) -> None:
    would = " (a dry run: nothing was stored)" if report.dry_run else ""
    show.say(f"Read {report.files} files{would}")
    show.table(
        ("KIND", "IMPORTED", "UNCHANGED", "SKIPPED"),
        [
            (kind, *(report.counts[kind][one] for one in ("imported", "unchanged", "skipped")))
            for kind in _KINDS
            if kind in report.counts
        ],
    )
    for attention, title in ((True, "To look at:"), (False, "Left out:")):
        _print_reasons(report, title, attention=attention)
    if report.open_channels:
        show.say("Pinpoint never told credentials. These channels need theirs:", "bold")
        for one in report.open_channels:
            show.say(f"  {one.command}")
    for application_id in report.event_streams:
        show.say(f"Events of {application_id} went to a stream, which is not taken over", "bold")


def _print_reasons(report: importing.Report, title: str, *, attention: bool) -> None:
    reasons = [one for one in report.reasons.most_common() if one[0][2] is attention]
    if not reasons:
        return
    show.say(title, "bold")
    for (kind, reason, _), count in reasons[:_SHOWN]:
        first = next(
            (one.where for one in report.findings if (one.kind, one.reason) == (kind, reason)), "-"
        )
        times = f" ({count} times; the first: {first})" if count > 1 else f" ({first})"
        show.say(f"  {kind}: {reason}{times}", "red" if attention else None)
    if len(reasons) > _SHOWN:
        show.say(f"  and {len(reasons) - _SHOWN} other reasons: --report FILE lists them")


def _told(report: importing.Report) -> dict[str, Any]:
    """The report in the words of the JSON file."""
    return {
        "DryRun": report.dry_run,
        "Complete": report.complete,
        "Files": report.files,
        "Counts": {
            kind: {one.title(): counts[one] for one in ("imported", "unchanged", "skipped")}
            for kind, counts in sorted(report.counts.items())
        },
        "Findings": [
            {
                "Kind": one.kind,
                "Where": one.where,
                "Reason": one.reason,
                "Attention": one.attention,
            }
            for one in report.findings
        ],
        "FindingsNotListed": sum(report.reasons.values()) - len(report.findings),
        "ChannelsToSet": [
            {
                "ApplicationId": one.application_id,
                "ChannelType": one.channel_type,
                "Command": one.command,
            }
            for one in report.open_channels
        ],
        "EventStreams": report.event_streams,
    }
