"""The plain Celery service (`benchmarks.plain_celery`) as a contender."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg

from benchmarks import contenders, messages
from benchmarks.surroundings import Servers

_TITLE = "Your order {order}"
_TEXT = "Dear {name}, your order {order} is on its way."


def rows(channel: str, first: int, count: int) -> list[dict[str, Any]]:
    """What a plain service accepts: `count` recipients, each with variables of their own."""
    return [
        {
            "channel": channel,
            "address": messages.address(channel, number),
            "title": _TITLE,
            "text": _TEXT,
            "variables": {"name": f"Ann {number}", "order": str(number)},
        }
        for number in range(first, first + count)
    ]


def having(postgres: psycopg.Connection[Any], status: str) -> int:
    """How many of a plain service's rows have this status."""
    found = postgres.execute(
        "SELECT count(*) FROM notification WHERE status = %s", (status,)
    ).fetchone()
    assert found is not None
    return int(found[0])


class PlainCelery:
    """On a database and a Redis of its own."""

    def __init__(self, servers: Servers) -> None:
        self._environment = {
            "PLAIN_DATABASE_URL": servers.database("plain"),
            "PLAIN_BROKER_URL": f"{servers.redis.url}/1",
            "PLAIN_PROVIDERS": json.dumps(servers.sinks.settings),
        }
        os.environ.update(self._environment)  # it reads them when it is imported
        from benchmarks import plain_celery  # noqa: PLC0415

        self._service = plain_celery
        plain_celery.Base.metadata.create_all(plain_celery.engine())
        self.accepting = [psutil.Process()]
        self.workers: list[psutil.Process] = []
        self._postgres = psycopg.connect(
            self._environment["PLAIN_DATABASE_URL"].replace("+psycopg", ""), autocommit=True
        )

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[PlainCelery]:
        """With a worker of so many child processes."""
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.plain_celery", "worker"]
        command += ["--concurrency", str(count), "--loglevel", "WARNING"]
        with contenders.processes(command, self._environment) as self.workers:
            yield self

    def accept(self, channel: str, first: int, count: int = contenders.BATCH) -> None:
        self._service.accept(rows(channel, first, count))

    def unsettled(self) -> int:
        return having(self._postgres, "QUEUED")

    def failed(self) -> int:
        return having(self._postgres, "FAILED")

    def forget(self) -> None:
        self._postgres.execute("TRUNCATE notification")

    def close(self) -> None:
        self._postgres.close()
        self._service.engine().dispose()
