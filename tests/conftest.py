"""What the tests share: real servers, and a fresh database and a fresh Redis for each test."""

import contextlib
import faulthandler
import itertools
import logging
import os

import hypothesis
import psycopg
import pytest
import redis

from tests import servers

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("sendpoint", deadline=None)
hypothesis.settings.load_profile("sendpoint")


def pytest_unconfigure():
    """A thread that keeps the finished run from ending is shown, and the run fails."""
    faulthandler.dump_traceback_later(60, exit=True)


@contextlib.contextmanager
def or_skip(server):
    """Without the server a developer's tests are skipped; CI must have it."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except servers.Missing as missing:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
        yield started


@pytest.fixture(autouse=True)
def _log_levels_as_before():
    """A command that runs within a test sets how much the process logs; the next one's own is to be
    found among its records and not among everybody's."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session")
def redis_server():
    """The session's `servers.Server`; a test may stop, crash and start it."""
    with or_skip(servers.redis()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server():
    """The session's `servers.Server`; a test may stop, crash and start it."""
    with or_skip(servers.postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def _numbers():
    return itertools.count()


@pytest.fixture
def redis_url(redis_server, _numbers):
    """The URL of an empty Redis database, which the tests before this one did not use."""
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return f"{redis_server.url}/{next(_numbers) % 16}"


@pytest.fixture
def postgresql_url(postgres_server, _numbers):
    """The SQLAlchemy URL of an empty PostgreSQL database."""
    postgres_server.start()
    name = f"test_{next(_numbers)}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    yield f"{postgres_server.url.replace('://', '+psycopg://')}/{name}"
    postgres_server.start()
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server, statement):
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def sqlite_url(tmp_path):
    """The SQLAlchemy URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The SQLAlchemy URL of an empty database, once on SQLite and once on PostgreSQL."""
    return request.getfixturevalue(f"{request.param}_url")
