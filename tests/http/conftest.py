import dataclasses
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.http import api as api_
from worker import http as edge
from worker import runtime as runtime_
from worker import settings as settings_
from worker import store


def _settings(directory):
    return settings_.Settings(
        database_url=f"sqlite:///{directory / 'test.sqlite'}",
        inbox=str(directory / "inbox.jsonl"),
        sandbox=True,
        wait=0.0,
    )


@pytest.fixture
def settings(tmp_path):
    """Settings for a backend of a test's own, which waits for no outcomes."""
    return _settings(tmp_path)


@pytest.fixture
def waiting(settings):
    """The same, but SendMessages waits so many seconds."""
    return lambda seconds: msgspec.structs.replace(settings, wait=seconds)


@pytest.fixture(scope="session")
def settings_of_module():
    """Settings for a backend in a directory, for a module that has one of its own."""
    return _settings


@pytest.fixture(scope="session")
def emptied():
    """Empties a served backend but for one application."""
    return _emptied


@pytest.fixture(scope="module")
def _served(tmp_path_factory):
    """One server for a module: to stop one takes uvicorn longer than most tests."""
    with api_.served(_settings(tmp_path_factory.mktemp("backend"))) as served:
        yield served


@pytest.fixture
def api(_served):
    """An empty backend with one application that accepts and answers at once, without a worker."""
    return _emptied(_served)


class Clock:
    """The time of a server: this machine's, moved by hand."""

    def __init__(self):
        self.ahead = timedelta(0)

    def now(self):
        return datetime.now(UTC) + self.ahead

    def monotonic(self):
        return self.now().timestamp()


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory):
    home = tmp_path_factory.mktemp("guarded")
    clock = Clock()
    runtime = runtime_.open_runtime(
        msgspec.structs.replace(
            _settings(home), auth=True, secret_keys_file=str(home / "secret.keys")
        )
    )
    runtime.db = dataclasses.replace(runtime.db, now=clock.now)
    runtime.clock = clock.monotonic
    store.upgrade(runtime.db)
    try:
        with edge.serving(runtime) as url:
            yield api_.Api(url, runtime, ""), clock
    finally:
        runtime.close()


@pytest.fixture
def clock(_guarded):
    """The clock of `guarded`."""
    _, clock = _guarded
    yield clock
    clock.ahead = timedelta(0)


@pytest.fixture
def guarded(_guarded, clock):
    """The same as `api` with `auth` on, and no keys yet."""
    served, _ = _guarded
    return _emptied(served)


@pytest.fixture
def issue(guarded):
    """Makes keys for `guarded`."""
    return lambda name="ann", **scope: store.create_key(guarded.runtime.db, name, **scope)


def _emptied(served):
    with served.runtime.db.engine.begin() as connection:
        for table in reversed(store.metadata.sorted_tables):
            connection.execute(table.delete())
    application = store.create_application(served.runtime.db, "shop")
    return dataclasses.replace(served, application=application.id)
