import dataclasses

import msgspec
import pytest

from tests.http import api as api_
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


@pytest.fixture(scope="module")
def _served(tmp_path_factory):
    """One server for a module: to stop one takes uvicorn longer than most tests."""
    with api_.served(_settings(tmp_path_factory.mktemp("backend"))) as served:
        yield served


@pytest.fixture
def api(_served):
    """An empty backend with one application that accepts and answers at once, without a worker."""
    with _served.runtime.db.engine.begin() as connection:
        for table in reversed(store.metadata.sorted_tables):
            connection.execute(table.delete())
    application = store.create_application(_served.runtime.db, "shop")
    return dataclasses.replace(_served, application=application.id)
