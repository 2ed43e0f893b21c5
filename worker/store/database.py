"""Opening the database, and what every statement in here shares."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Float,
    FromClause,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    bindparam,
    column,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeEngine

from worker.store import clock
from worker.vault import Vault

Statement = TypeVar("Statement")

Unavailable = OperationalError
"""What a statement raises when the database cannot be reached, is busy or is shutting down."""


@dataclass(frozen=True)
class Database:
    """A database and the clock that its statements go by.

    `now` is None in production, where the database's own clock decides, and a function in tests
    that move time by hand. `vault` seals the channels' settings, which hold credentials.
    """

    engine: Engine
    now: Callable[[], datetime] | None = None
    vault: Vault = field(default_factory=Vault)
    _statements: dict[Callable[[Database], object], object] = field(
        default_factory=dict, repr=False, compare=False
    )

    def after(self, seconds: float | ColumnElement[Any]) -> ColumnElement[datetime]:
        """The time `seconds` from now, as SQL."""
        if self.now is None:
            return clock.after(seconds)
        return clock.after_instant(self.now(), seconds)

    def time(self) -> datetime:
        """The time, by the clock that the statements go by."""
        with self.reading() as connection:
            return connection.execute(select(self.after(0))).scalar_one()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with. It never waits for a writer, and nobody waits for it."""
        options: Any = {"sendpoint_read_only": True}
        if self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "AUTOCOMMIT"
        with self.engine.connect().execution_options(**options) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, dry_run: bool = False) -> Iterator[Connection]:
        """A transaction to write in. With `dry_run` it is one to read in, for whoever only wants to
        know what would be written."""
        with self.reading() if dry_run else self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection on which each statement is a transaction of its own. PostgreSQL is asked
        once for it, where `engine.begin()` asks three times."""
        if self.engine.dialect.name != "postgresql":
            with self.engine.begin() as connection:
                yield connection
            return
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def statement(self, build: Callable[[Database], Statement]) -> Statement:
        """What `build` makes of this database, made once: most of what a statement costs here is
        to put it together. With a clock that is moved by hand the time is a part of it."""
        if self.now is not None:
            return build(self)
        if build not in self._statements:
            self._statements[build] = build(self)
        return self._statements[build]  # type: ignore[return-value]  # what this `build` made

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def connect(
    url: str,
    *,
    pool_size: int = 8,
    now: Callable[[], datetime] | None = None,
    vault: Vault | None = None,
) -> Database:
    """Open the database at `url`: `sqlite:///FILE` or `postgresql+psycopg://…`.

    `postgresql://USER@HOST1:PORT,HOST2:PORT/NAME` is whichever of these servers takes writes.

    Nothing is connected yet. `ValueError` if the URL is of neither kind; its text shows no
    password.
    """
    try:
        parsed = make_url(_SEVERAL_HOSTS.sub(_named_one_by_one, url))
    except (ArgumentError, ValueError):
        raise ValueError("SENDPOINT_DATABASE_URL cannot be read as a URL") from None
    if parsed.get_backend_name() in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
        if len(hosts := parsed.normalized_query.get("host", ())) > 1 or "," in "".join(hosts):
            # Who names several means the primary, unless they say otherwise.
            parsed = parsed.set(query={"target_session_attrs": "read-write", **parsed.query})
        engine = _postgresql(parsed, pool_size)
    elif parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
    else:
        shown = parsed.render_as_string(hide_password=True)
        raise ValueError(f"SENDPOINT_DATABASE_URL must be sqlite:/// or postgresql://, not {shown}")
    return Database(engine, now, vault or Vault())


_PAUSE = 1.0  # seconds

_SEVERAL_HOSTS = re.compile(
    r"(\Apostgres[a-z+]*://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(/[^?]*)?(\?|\Z)"
)


def _named_one_by_one(url: re.Match[str]) -> str:
    """The hosts as SQLAlchemy reads them: libpq's URLs have them parted by commas."""
    start, hosts, path, more = url.groups(default="")
    each = "&".join([f"host={quote(one, safe=':[]')}" for one in hosts.split(",")])
    return f"{start}{path}?{each}{more and '&'}"


_NOT_NOW = (
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""What psycopg calls the server's internal errors, and is only that it cannot be done now."""


def _postgresql(url: URL, pool_size: int) -> Engine:
    """PostgreSQL, with bounds on how long one process or a broken network can hold up others."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "sendpoint",
            # A server that is gone without a word is noticed in 30 seconds, not in hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
        },
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        # Said in SQL, since poolers such as PgBouncer refuse them as the connection's options.
        connection.autocommit = True
        # Times come as they are to be read, and need not be converted one by one.
        connection.execute("SET TIME ZONE 'UTC'")
        # A process that is stopped, or cut off, in a transaction lets go of its rows.
        connection.execute("SET idle_in_transaction_session_timeout TO '20s'")
        # Who waits for such rows is told Unavailable, and may come again.
        connection.execute("SET lock_timeout TO '10s'")
        # Every statement of ours is short, and would be compiled longer than it runs; and asks by
        # an index, while PostgreSQL, for want of statistics, would rather read the table.
        connection.execute("SET jit TO off")
        connection.execute("SET enable_seqscan TO off")
        connection.autocommit = False

    @event.listens_for(engine, "checkin")
    def _leave(_: object, record: ConnectionPoolEntry) -> None:
        record.info["left"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _look(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """Whether the server is still there is asked after a pause, not before every statement."""
        if time.monotonic() - record.info.get("left", math.inf) > _PAUSE:
            try:
                connection.autocommit = True
                connection.execute("")
                connection.autocommit = False
            except psycopg.Error:
                raise InvalidatePoolError from None

    @event.listens_for(engine, "handle_error")
    def _name(context: ExceptionContext) -> None:
        trouble = context.original_exception
        if isinstance(trouble, psycopg.errors.ReadOnlySqlTransaction):
            # The server is the primary no longer, and the connections to it are of no use.
            context.is_disconnect = True
        if isinstance(trouble, _NOT_NOW):
            raise Unavailable(context.statement, None, trouble, hide_parameters=True)

    return engine


def _sqlite(url: URL) -> Engine:
    """SQLite as a ledger: durable commits, one writer at a time, writers wait for each other."""
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 15})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    # Writers of this process queue here: SQLite's own way of waiting is to sleep and ask again.
    writing = threading.Lock()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("sendpoint_read_only", False):
            connection.exec_driver_sql("BEGIN")
            return
        writing.acquire()
        try:
            # A read that turns into a write cannot wait in WAL mode: it fails at once.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except BaseException:
            writing.release()
            raise
        connection.info["writing"] = True

    @event.listens_for(engine, "commit")
    @event.listens_for(engine, "rollback")
    def _end(connection: Connection) -> None:
        if connection.info.pop("writing", False):
            writing.release()

    return engine


_encode = msgspec.json.Encoder(uuid_format="hex").encode

_POSTGRESQL_TYPES: Mapping[type, str] = {
    Uuid: "uuid",
    BigInteger: "bigint",
    SmallInteger: "smallint",
    Integer: "integer",
    Float: "double precision",
    Text: "text",
    postgresql.JSONB: "jsonb",
}


def given(db: Database, parameter: str = "rows", /, **columns: TypeEngine[Any]) -> CTE:
    """The rows of a parameter (see `as_rows`) as a table expression.

    One parameter whatever the number of rows: the statement's text never changes, so it is
    compiled once and stays prepared in the server.
    """
    if db.engine.dialect.name == "postgresql":
        shape = ", ".join(
            f"{name} {_POSTGRESQL_TYPES[type(kind)]}" for name, kind in columns.items()
        )
        sql = f"SELECT * FROM jsonb_to_recordset(CAST(:{parameter} AS jsonb)) AS r({shape})"  # noqa: S608 - as below
    else:
        shape = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        sql = f"SELECT {shape} FROM json_each(:{parameter})"  # noqa: S608 - names from this package
    typed = [column(name, kind) for name, kind in columns.items()]
    return text(sql).columns(*typed).cte(f"given_{parameter}")


def within(rows: ColumnElement[Any], **columns: TypeEngine[Any]) -> FromClause:
    """The rows in a column of a table expression of `given`, which has some for each of its own
    rows, on PostgreSQL: to be joined to it."""
    typed = [column(name, kind) for name, kind in columns.items()]
    function = func.jsonb_to_recordset(rows).table_valued(*typed, name="given_within")
    return function.render_derived(name="given_within", with_types=True).lateral()


def among(db: Database, key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether `key` is one of the parameter `ids` (see `as_ids`), as SQL for a column with a unique
    index: PostgreSQL looks up each, whatever it believes of the table."""
    if db.engine.dialect.name == "postgresql":
        return key == func.any(bindparam("ids", type_=ARRAY(key.type)))
    return key.in_(text("SELECT value FROM json_each(:ids)").columns(column("value", key.type)))


def as_ids(db: Database, ids: Iterable[UUID] | Iterable[int]) -> dict[str, Any]:
    """The parameter for a statement with `among`."""
    if db.engine.dialect.name == "postgresql":
        return {"ids": [*ids]}
    return {"ids": _encode([*ids]).decode()}


def writes_within(db: Database) -> bool:
    """Whether a statement may have others that write within it."""
    return db.engine.dialect.name == "postgresql"


def hurried(db: Database) -> ColumnElement[bool]:
    """A condition that always holds, with which a statement's commit does not wait for the disk. A
    crash of the database may undo it: only for what the ledger does not need."""
    if db.engine.dialect.name != "postgresql":
        return true()
    name, value, for_this_transaction = literal("synchronous_commit"), literal("off"), true()
    return select(func.set_config(name, value, for_this_transaction)).scalar_subquery() != ""


def insert(db: Database, table: Table) -> Any:
    """An INSERT that may say what to do on a conflict, in the database's dialect."""
    return (postgresql if db.engine.dialect.name == "postgresql" else sqlite).insert(table)


def as_rows(
    rows: Sequence[Mapping[str, Any] | msgspec.Struct], parameter: str = "rows"
) -> dict[str, str]:
    """The parameter for a statement over `given`. UUIDs are written as 32 hex digits. What a row
    does not have is NULL."""
    return {parameter: _encode(rows).decode()}
