import msgspec
import pytest

from tests.http import api as api_
from worker import settings as settings_


@pytest.fixture
def settings(tmp_path, sqlite_url):
    return settings_.Settings(
        database_url=sqlite_url, inbox=str(tmp_path / "inbox.jsonl"), sandbox=True
    )


@pytest.fixture
def api(settings):
    """A backend that accepts and answers at once, without a worker."""
    with api_.served(msgspec.structs.replace(settings, wait=0.0)) as served:
        yield served
