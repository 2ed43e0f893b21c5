"""The plain Celery service (`benchmarks.plain_celery`) as a contender."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import psutil
import psycopg

from benchmarks import contenders, messages
from benchmarks.surroundings import Servers

_TITLE = "Your order {order}"
_TEXT = "Dear {name}, your order {order} is on its way."


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

    def accept(self, channel: str, first: int) -> None:
        self._service.accept(
            [
                {
                    "channel": channel,
                    "address": messages.address(channel, number),
                    "title": _TITLE,
                    "text": _TEXT,
                    "variables": {"name": f"Ann {number}", "order": str(number)},
                }
                for number in range(first, first + contenders.BATCH)
            ]
        )

    def unsettled(self) -> int:
        found = self._postgres.execute(
            "SELECT count(*) FROM notification WHERE status <> 'SENT'"
        ).fetchone()
        assert found is not None
        return int(found[0])

    def forget(self) -> None:
        self._postgres.execute("TRUNCATE notification")

    def close(self) -> None:
        self._postgres.close()
        self._service.engine().dispose()
