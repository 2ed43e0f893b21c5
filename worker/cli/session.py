"""What every command needs: its settings, what it works with, and a word on what went wrong."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from worker import runtime, settings, store, wire
from worker.settings import Settings


def load(*, sandbox: bool = False) -> Settings:
    """The settings that the environment says. Unless it says anything of the sandbox, `sandbox`
    switches that on."""
    try:
        loaded = settings.load()
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if "SENDPOINT_SANDBOX" in os.environ:
        return loaded
    return msgspec.structs.replace(loaded, sandbox=sandbox or loaded.sandbox)


def require_shared_broker(loaded: Settings) -> None:
    """Fail if API and worker, each a process of its own, could not hear each other."""
    if loaded.embedded:
        raise click.ClickException(
            "API and worker need a broker that both can reach, and memory:// lives in one process. "
            "Use `sendpoint up`, which is both, or set SENDPOINT_BROKER_URL (redis://HOST:6379/0)"
        )


@contextlib.contextmanager
def opened(loaded: Settings | None = None) -> Iterator[runtime.Runtime]:
    """A runtime over a database whose schema is current."""
    with unchecked(loaded) as held:
        require_schema(held.db)
        yield held


@contextlib.contextmanager
def unchecked(loaded: Settings | None = None) -> Iterator[runtime.Runtime]:
    """A runtime over a database that may be empty, old, or not there at all."""
    held = runtime.open_client(loaded or load())
    try:
        yield held
    finally:
        held.close()


def require_schema(db: store.Database) -> None:
    """Fail, saying what to do, unless the database is there and has this version's schema."""
    file = database_file(db)
    if file is not None and not file.exists():
        raise click.ClickException(
            f"There is no database {file}: run `sendpoint up`, or `sendpoint db upgrade`"
        )
    if not store.is_current(db):
        raise click.ClickException(
            "The database does not have the schema of this version: run `sendpoint db upgrade`"
        )


def database_file(db: store.Database) -> Path | None:
    """The SQLite file, or None if the database is a server or in memory."""
    name = db.engine.url.database
    if db.engine.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    return Path(name)


def upgrade(db: store.Database) -> None:
    """Bring the schema to this version. A SQLite file is created, readable by its owner only."""
    file = database_file(db)
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    store.upgrade(db)


def application(db: store.Database, given: str | None) -> str:
    """The application that was named by its id, or the only one there is."""
    if given is not None:
        if not store.has_application(db, given):
            raise click.ClickException(
                f"There is no application {given}: `sendpoint app list` shows those there are"
            )
        return given
    found = store.applications(db)
    if not found:
        raise click.ClickException("There is no application: run `sendpoint app create NAME`")
    if len(found) > 1:
        raise click.UsageError(
            "Say which application with --app: " + ", ".join(f"{a.id} ({a.name})" for a in found)
        )
    return found[0].id


def log(loaded: Settings) -> None:
    """Log to the standard error, as the settings say."""
    logging.basicConfig(
        level=loaded.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s"
    )
    for chatty in ("alembic", "celery", "kombu", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if loaded.embedded:
        logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # memory:// has no host
    # Celery's reason is that a worker unpickles what it is sent; ours takes nothing but JSON.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """A block that listens there. If it cannot, it fails with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
            raise
        raise click.ClickException(
            f"{host}:{port} cannot be listened on ({os.strerror(error.errno)}): "
            "choose another with --host or --port"
        ) from error


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """A block that Ctrl-C and SIGTERM end, in order and without an error."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: Exception) -> str:
    """An exception as one line for whoever typed the command."""
    text = " ".join(str(error).split())
    match error:
        case wire.RequestError():
            return error.message
        case store.Unavailable():
            # The whole text would quote the statement.
            reason = " ".join(str(error.orig).split())
            return f"The database does not answer; check SENDPOINT_DATABASE_URL: {reason}"
        case ConnectionError():
            return f"The broker does not answer; check SENDPOINT_BROKER_URL: {text}"
        case ValueError() | OSError():
            return text
        case _:
            kind = type(error).__name__
            return f"{kind}: {text} (`sendpoint --debug ...` shows where)"
