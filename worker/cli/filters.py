"""The options that say which failures are meant, the same for every command that takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from adapters.contract import Fault
from worker import plan, store
from worker.cli import session, show

F = TypeVar("F", bound=Callable[..., Any])

_CHANNELS = [*map(str, plan.QUEUE_OF)]
_STATUSES = sorted(map(str, show.FAILED))
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")


class Span(click.ParamType[timedelta]):
    """A length of time: 90d, 12h, 30m."""

    name = "SPAN"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        found = _SPAN.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no length of time such as 90d, 12h or 30m", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


class When(click.ParamType[datetime]):
    """A time, or how long ago it was. A time without a zone is this machine's."""

    name = "WHEN"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if _SPAN.fullmatch(value):
            return datetime.now(UTC) - Span().convert(value, param, ctx)
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            known = "a time such as 2026-11-25T03:00 nor how long ago, such as 2h"
            self.fail(f"{value!r} is neither {known}", param, ctx)


_OPTIONS = (
    click.option("--app", "application", metavar="ID", help="Needed if there are several."),
    click.option("--request", "request_id", type=click.UUID, help="Of this request only."),
    click.option(
        "--channel",
        "channel_type",
        type=click.Choice(_CHANNELS, case_sensitive=False),
    ),
    click.option("--provider", metavar="NAME"),
    click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False)),
    click.option("--code", type=int, metavar="STATUSCODE"),
    click.option(
        "--fault",
        type=click.Choice([*map(str, Fault)], case_sensitive=False),
        help="Whose fault it was.",
    ),
    click.option(
        "--since",
        type=When(),
        help="Failed then or later: 2026-11-25T03:00, or how long ago: 2h.",
    ),
    click.option("--until", type=When(), help="Failed before."),
)


def options(command: F) -> F:
    """Give a command the options of a filter; it gets them as keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted(db: store.Database, application: str | None, which: Mapping[str, Any]) -> store.Wanted:
    """The filter that the options say, which are named as its fields are."""
    return store.Wanted(application_id=session.application(db, application), **which)
