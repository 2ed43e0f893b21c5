"""The database's clock, in SQL. Leases, due times and deadlines are compared on it alone, so that
workers whose own clocks disagree still agree on what is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    TypeDecorator,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def iso(when: datetime) -> str:
    """A time as Pinpoint writes it: 2019-10-08T18:28:23.182Z."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime. SQLite keeps it as text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """PostgreSQL's are in UTC, since its sessions are (`database.connect`)."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


class after(FunctionElement[datetime]):  # noqa: N801 - it reads as the SQL function it is
    """The database's time plus a number of seconds (a number or a column)."""

    type = Utc()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[Any]) -> None:
        super().__init__(literal(seconds, Float) if isinstance(seconds, int | float) else seconds)


class after_instant(FunctionElement[datetime]):  # noqa: N801 - as above
    """A given time plus a number of seconds, for a clock that is moved by hand."""

    type = Utc()
    inherit_cache = True

    def __init__(self, start: datetime, seconds: float | ColumnElement[Any]) -> None:
        super().__init__(
            literal(start, Utc),
            literal(seconds, Float) if isinstance(seconds, int | float) else seconds,
        )


# SQLite's strftime gives milliseconds; three zeros make the text sort with Python's microseconds.
_SQLITE = "strftime('%Y-%m-%d %H:%M:%f000', {start}, printf('%+.3f seconds', {seconds}))"


@compiles(after, "postgresql")
def _after_postgresql(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    (clause,) = element.clauses
    seconds = compiler.process(clause, **kw)
    time = f"clock_timestamp() + make_interval(secs => {seconds})"
    # The clock may go on from row to row, and an index is searched only for what stays the same:
    # in a query of its own it is read once.
    return f"(SELECT {time})" if isinstance(clause, BindParameter) else f"({time})"


@compiles(after, "sqlite")
def _after_sqlite(element: after, compiler: SQLCompiler, **kw: Any) -> str:
    (seconds,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return _SQLITE.format(start="'now'", seconds=seconds)


@compiles(after_instant, "postgresql")
def _after_instant_postgresql(element: after_instant, compiler: SQLCompiler, **kw: Any) -> str:
    start, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(CAST({start} AS timestamptz) + make_interval(secs => {seconds}))"


@compiles(after_instant, "sqlite")
def _after_instant_sqlite(element: after_instant, compiler: SQLCompiler, **kw: Any) -> str:
    start, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return _SQLITE.format(start=start, seconds=seconds)
