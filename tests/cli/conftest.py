import os

import pytest
from click.testing import CliRunner

from worker import cli, settings, store

APP = "00000000000000000000000000000001"


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty working directory, with nothing set."""
    for name in os.environ:
        if name.startswith("SENDPOINT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sendpoint(directory):
    """Runs a command in this process, in a working directory without a database."""

    def run(*arguments, stdin=None):
        return CliRunner().invoke(cli.main, arguments, input=stdin, prog_name="sendpoint")

    return run


@pytest.fixture
def prepared(sendpoint):
    """The same, over a current database with the application `APP`, `shop`."""
    assert sendpoint("db", "upgrade").exit_code == 0
    assert sendpoint("app", "create", "shop", "--id", APP).exit_code == 0
    return sendpoint


@pytest.fixture
def db(prepared):
    """The database of `prepared`."""
    loaded = settings.load()
    opened = store.connect(loaded.database_url, vault=loaded.vault())
    yield opened
    opened.close()
